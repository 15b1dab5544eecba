/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes' quantities: "500m", "1.5Gi", "1e3", "0.1". Exact: a whole number of nano-units in 128
 * bits.
 *
 * What is finer than a nano is rounded away from zero, as Kubernetes does. Amounts beyond
 * about 1.7e29 units are refused; binary ones are capped at 2^63 - 1 units, as in Kubernetes.
 */
#ifndef API_QUANTITY_H
#define API_QUANTITY_H

#include "base/err.h"
#include "base/str.h"
#include "codec/json.h"

enum quantity_format { QUANTITY_DECIMAL_SI, QUANTITY_BINARY_SI, QUANTITY_DECIMAL_EXPONENT };

struct quantity {
    __int128 nano;
    enum quantity_format format; /* how it was written; the first operand's wins in sums */
};

#define QUANTITY_TEXT_SIZE 64

/* 0, or -E_INVAL with Kubernetes' text ("quantities must match the regular expression ..."),
 * -E_RANGE. */
int quantity_parse(struct str text, struct quantity *ret, struct err *err);
/* A JSON string or number. */
int quantity_from_json(const struct json *j, struct quantity *ret, struct err *err);
struct quantity quantity_of(int64_t value, enum quantity_format format);
/* The canonical text: "1500m", "1Gi", "1k"; returns out. */
char *quantity_print(struct quantity q, char out[QUANTITY_TEXT_SIZE]);

int quantity_cmp(struct quantity a, struct quantity b); /* <0 0 >0 */
/* Saturate at the ends of 128 bits. A zero a takes the format of b. */
struct quantity quantity_add(struct quantity a, struct quantity b);
struct quantity quantity_sub(struct quantity a, struct quantity b);
bool quantity_is_zero(struct quantity q);
/* Rounded up (away from zero) and capped to 64 bits. */
int64_t quantity_value(struct quantity q);
int64_t quantity_milli(struct quantity q);
/* Lenient reading for sums over objects that were validated before: 0 when absent or malformed. */
int64_t quantity_json_value(const struct json *j);
int64_t quantity_json_milli(const struct json *j);

#endif
