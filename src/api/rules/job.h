/* SPDX-License-Identifier: Apache-2.0 */
/* What Jobs and the templates of CronJobs have in common. */
#ifndef API_RULES_JOB_H
#define API_RULES_JOB_H

#include "api/status.h"

/* A JobSpec at `path`, without its selector. */
void rules_job_spec(struct field_errors *e, const char *path, const struct json *spec);

#endif
