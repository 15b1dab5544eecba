/* SPDX-License-Identifier: Apache-2.0 */
/* Which broker a source or sink means, and as whom; see mqtt_peer.h. */
#include "mqtt_peer.h"

#include "base/mem.h"
#include "part/data/broker/broker.h"
#include "data_private.h"
#include "endpoint.h"

static int read_server(struct arena *a, struct str server, struct mqtt_config *ret, struct err *err)
{
    CLEANUP(mem_freep) char *host = NULL;
    struct str scheme, path;
    int rc = endpoint_split(server, &scheme, &host, &ret->port, &path, err);
    if (rc == 0 && scheme.n > 0 && !str_is(scheme, "tcp") && !str_is(scheme, "mqtt") &&
        !str_is(scheme, "ssl") && !str_is(scheme, "mqtts") && !str_is(scheme, "tls")) {
        rc = err_set(err, -E_INVAL, "'" STR_FMT "' is none of tcp, mqtt, ssl, tls, mqtts",
                     STR_ARG(scheme));
    }
    if (rc < 0) {
        return err_wrap(err, rc, "server");
    }
    ret->tls.on = str_is(scheme, "ssl") || str_is(scheme, "mqtts") || str_is(scheme, "tls");
    ret->host = arena_strdup(a, host);
    return ret->host ? 0 : err_sys(err, -E_NOMEM, "server");
}

static int own_broker(struct data *d, struct mqtt_config *ret, struct err *err)
{
    struct broker_local local;
    if (!d->broker) {
        return err_set(err, -E_INVAL, "server is required: this node runs no broker of its own");
    }
    broker_local(d->broker, &local);
    ret->host = local.path;
    ret->port = 0;
    ret->username = local.username;
    ret->password = local.password;
    return 0;
}

static int read_version(const struct json *conf, struct mqtt_config *ret, struct err *err)
{
    const char *v = json_cstr(json_get(conf, "protocolVersion"), "3.1.1");
    if (!cstr_eq(v, "3.1.1") && !cstr_eq(v, "4") && !cstr_eq(v, "5")) {
        return err_set(err, -E_INVAL, "protocolVersion '%s' is not 3.1.1 or 5", v);
    }
    ret->version = cstr_eq(v, "5") ? 5 : 4;
    return 0;
}

int mqtt_peer_read(struct data *d, struct arena *a, const struct json *conf,
                   struct mqtt_config *ret, struct err *err)
{
    struct str server = json_text(json_get(conf, "server"));
    *ret = (struct mqtt_config){.loop = d->loop};
    int rc = server.n > 0 ? read_server(a, server, ret, err) : own_broker(d, ret, err);
    rc = rc < 0 ? rc : read_version(conf, ret, err);
    if (rc < 0) {
        return rc;
    }
    ret->client_id = json_cstr(json_get(conf, "clientid"), NULL);
    ret->username = json_cstr(json_get(conf, "username"), ret->username);
    ret->password = json_cstr(json_get(conf, "password"), ret->password);
    ret->tls.ca_file = json_cstr(json_get(conf, "rootCaPath"), NULL);
    ret->tls.cert_file = json_cstr(json_get(conf, "certificationPath"), NULL);
    ret->tls.key_file = json_cstr(json_get(conf, "privateKeyPath"), NULL);
    ret->tls.insecure = json_true(json_get(conf, "insecureSkipVerify"), false);
    return 0;
}
