/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.k8s.io/v1beta1: rows of the table in handler_answer.c (handler_answer_fn). */
#ifndef API_STREAM_METRICS_ANSWER_H
#define API_STREAM_METRICS_ANSWER_H

struct handler_op;

void metrics_answer_nodes(struct handler_op *op);
void metrics_answer_pods(struct handler_op *op);

#endif
