/* SPDX-License-Identifier: Apache-2.0 */
/* CAST: a value as another type. */
#include <math.h>

#include "base/encode.h"
#include "value.h"
#include "value_time.h"

static int cannot(const struct value *v, enum value_type t, struct err *err)
{
    struct buf b = BUF_INIT;
    (void)value_print_text(&b, v); /* sticky */
    (void)err_set(err, -E_INVAL, "cannot convert %s(" STR_FMT ") to %s", value_type_name(v->type),
                  STR_ARG(buf_str(&b)), value_type_name(t));
    buf_fini(&b);
    return -E_INVAL;
}

static int to_int(const struct value *v, struct value *ret)
{
    int64_t i;
    double d;
    switch (v->type) {
    case VALUE_INT:
        *ret = *v;
        return 0;
    case VALUE_FLOAT:
        if (!(v->f > -9223372036854775809.0 && v->f < 9223372036854775808.0)) {
            return -E_INVAL;
        }
        *ret = value_int((int64_t)v->f);
        return 0;
    case VALUE_BOOL:
        *ret = value_int(v->b);
        return 0;
    case VALUE_TIME:
        *ret = value_int(v->i / 1000);
        return 0;
    case VALUE_STRING:
        if (str_i64(value_text(v), &i) == 0) {
            *ret = value_int(i);
            return 0;
        }
        if (str_double(value_text(v), &d) == 0 && fabs(d) < 9.2e18) {
            *ret = value_int((int64_t)d);
            return 0;
        }
        return -E_INVAL;
    default:
        return -E_INVAL;
    }
}

static int to_float(const struct value *v, struct value *ret)
{
    double d;
    switch (v->type) {
    case VALUE_INT:
        *ret = value_float((double)v->i);
        return 0;
    case VALUE_FLOAT:
        *ret = *v;
        return 0;
    case VALUE_BOOL:
        *ret = value_float(v->b);
        return 0;
    case VALUE_STRING:
        if (str_double(value_text(v), &d) < 0) {
            return -E_INVAL;
        }
        *ret = value_float(d);
        return 0;
    default:
        return -E_INVAL;
    }
}

static int to_bool(const struct value *v, struct value *ret)
{
    bool b;
    switch (v->type) {
    case VALUE_BOOL:
        *ret = *v;
        return 0;
    case VALUE_INT:
        *ret = value_bool(v->i != 0);
        return 0;
    case VALUE_FLOAT:
        *ret = value_bool(v->f != 0);
        return 0;
    case VALUE_STRING:
        if (str_bool(value_text(v), &b) < 0) {
            return -E_INVAL;
        }
        *ret = value_bool(b);
        return 0;
    default:
        return -E_INVAL;
    }
}

static int to_text(struct arena *a, const struct value *v, struct value *ret)
{
    struct buf b = BUF_INIT;
    int rc = value_print_text(&b, v);
    char *copy = rc == 0 ? arena_strndup(a, buf_data(&b), buf_len(&b)) : NULL;
    *ret = value_string(str_n(copy, copy ? buf_len(&b) : 0));
    buf_fini(&b);
    return copy ? 0 : -E_NOMEM;
}

/* From text: base64, as bytes have it in JSON. */
static int to_bytes(struct arena *a, const struct value *v, struct value *ret)
{
    struct buf b = BUF_INIT;
    if (v->type == VALUE_BYTES) {
        *ret = *v;
        return 0;
    }
    if (v->type != VALUE_STRING || base64_decode(&b, value_text(v)) < 0) {
        buf_fini(&b);
        return -E_INVAL;
    }
    const char *copy = buf_len(&b) > 0 ? arena_dup(a, buf_data(&b), buf_len(&b)) : "";
    *ret = (struct value){.type = VALUE_BYTES, .n = (uint32_t)buf_len(&b), .s = copy};
    buf_fini(&b);
    return copy ? 0 : -E_NOMEM;
}

int value_cast(struct arena *a, const struct value *v, enum value_type t, struct value *ret,
               struct err *err)
{
    struct wall w;
    int rc = -E_INVAL;
    if (value_is_null(v)) {
        *ret = VALUE_OF_NULL;
        return 0;
    }
    switch (t) {
    case VALUE_INT:
        rc = to_int(v, ret);
        break;
    case VALUE_FLOAT:
        rc = to_float(v, ret);
        break;
    case VALUE_BOOL:
        rc = to_bool(v, ret);
        break;
    case VALUE_STRING:
        rc = to_text(a, v, ret);
        break;
    case VALUE_BYTES:
        rc = to_bytes(a, v, ret);
        break;
    case VALUE_TIME:
        rc = value_time_of(v, &w);
        if (rc == 0) {
            *ret = value_time(w);
        }
        break;
    default:
        break;
    }
    return rc == -E_INVAL ? cannot(v, t, err) : rc < 0 ? err_sys(err, rc, "cast") : 0;
}
