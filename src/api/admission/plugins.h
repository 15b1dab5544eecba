/* SPDX-License-Identifier: Apache-2.0 */
/* The plug-ins that admission.c runs; each stands in the file of its name. */
#ifndef API_ADMISSION_PLUGINS_H
#define API_ADMISSION_PLUGINS_H

struct admission_plugin;

extern const struct admission_plugin certificate_request_plugin, limit_ranger_plugin, policy_plugin,
    priority_plugin, quota_plugin, runtime_class_plugin, service_plugin, storage_plugin;

#endif
