/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pods/log, pods/exec and pods/attach (admission is asked about all but logs): from HTTP to the
 * node's stream (node_stream.h) and back. See server_http.h for the entry.
 */
#ifndef API_EXEC_PROXY_H
#define API_EXEC_PROXY_H

struct api_server;

/* Ends all streams (the server drains). */
void exec_proxy_end_all(struct api_server *s);

#endif
