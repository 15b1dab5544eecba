/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of CEL as C functions; the table of their names is cel_functions.c. */
#ifndef API_CEL_CEL_FN_H
#define API_CEL_CEL_FN_H

#include "cel_private.h"

#define CEL_FN(name)                                                                       \
    bool cel_fn_##name(struct cel_run *r, unsigned overload, const struct cel_value *args, \
                       unsigned n, struct cel_value *ret)

/* cel_fn_core.c */
CEL_FN(negate);
CEL_FN(add);
CEL_FN(subtract);
CEL_FN(multiply);
CEL_FN(divide);
CEL_FN(modulo);
CEL_FN(size);
CEL_FN(type);
CEL_FN(dyn);
CEL_FN(int);
CEL_FN(uint);
CEL_FN(double);
CEL_FN(bool);
CEL_FN(string);
CEL_FN(bytes);
CEL_FN(contains);
CEL_FN(starts_with);
CEL_FN(ends_with);
CEL_FN(matches);

/* cel_fn_time.c */
CEL_FN(timestamp);
CEL_FN(duration);
CEL_FN(full_year);
CEL_FN(month);
CEL_FN(day_of_year);
CEL_FN(day_of_month);
CEL_FN(date);
CEL_FN(day_of_week);
CEL_FN(hours);
CEL_FN(minutes);
CEL_FN(seconds);
CEL_FN(milliseconds);

/* cel_fn_string.c */
CEL_FN(char_at);
CEL_FN(index_of);
CEL_FN(last_index_of);
CEL_FN(join);
CEL_FN(lower_ascii);
CEL_FN(upper_ascii);
CEL_FN(trim);
CEL_FN(replace);
CEL_FN(split);
CEL_FN(substring);
CEL_FN(format);
CEL_FN(quote);
CEL_FN(reverse);

/* cel_fn_ext.c */
CEL_FN(greatest);
CEL_FN(least);
CEL_FN(ceil);
CEL_FN(floor);
CEL_FN(round);
CEL_FN(trunc);
CEL_FN(sqrt);
CEL_FN(abs);
CEL_FN(sign);
CEL_FN(is_nan);
CEL_FN(is_inf);
CEL_FN(is_finite);
CEL_FN(bit_and);
CEL_FN(bit_or);
CEL_FN(bit_xor);
CEL_FN(bit_not);
CEL_FN(shift_left);
CEL_FN(shift_right);
CEL_FN(base64_encode);
CEL_FN(base64_decode);
CEL_FN(optional_of);
CEL_FN(optional_non_zero);
CEL_FN(optional_none);
CEL_FN(optional_value);
CEL_FN(optional_has_value);
CEL_FN(optional_or);
CEL_FN(optional_or_value);
CEL_FN(optional_unwrap);

/* cel_fn_list.c */
CEL_FN(slice);
CEL_FN(flatten);
CEL_FN(sort);
CEL_FN(distinct);
CEL_FN(range);
CEL_FN(first);
CEL_FN(last);
CEL_FN(is_sorted);
CEL_FN(sum);
CEL_FN(min);
CEL_FN(max);
CEL_FN(sets_contains);
CEL_FN(sets_intersects);
CEL_FN(sets_equivalent);

/* cel_fn_kube.c */
CEL_FN(find);
CEL_FN(find_all);
CEL_FN(is_quantity);
CEL_FN(quantity);
CEL_FN(is_integer);
CEL_FN(as_integer);
CEL_FN(as_float);
CEL_FN(quantity_sign);
CEL_FN(quantity_add);
CEL_FN(quantity_sub);
CEL_FN(compare_to);
CEL_FN(is_greater);
CEL_FN(is_less);
CEL_FN(is_semver);
CEL_FN(semver);
CEL_FN(semver_major);
CEL_FN(semver_minor);
CEL_FN(semver_patch);

/* cel_fn_format.c */
CEL_FN(format_named);
CEL_FN(format_dns1123_label);
CEL_FN(format_dns1123_subdomain);
CEL_FN(format_dns1035_label);
CEL_FN(format_dns1123_label_prefix);
CEL_FN(format_dns1123_subdomain_prefix);
CEL_FN(format_dns1035_label_prefix);
CEL_FN(format_qualified_name);
CEL_FN(format_label_value);
CEL_FN(format_uri);
CEL_FN(format_uuid);
CEL_FN(format_byte);
CEL_FN(format_date);
CEL_FN(format_datetime);
CEL_FN(format_validate);

/* cel_fn_net.c */
CEL_FN(is_url);
CEL_FN(url);
CEL_FN(url_scheme);
CEL_FN(url_host);
CEL_FN(url_hostname);
CEL_FN(url_port);
CEL_FN(url_path);
CEL_FN(url_query);
CEL_FN(is_ip);
CEL_FN(ip);
CEL_FN(ip_is_canonical);
CEL_FN(ip_family);
CEL_FN(ip_is_unspecified);
CEL_FN(ip_is_loopback);
CEL_FN(ip_is_link_local_multicast);
CEL_FN(ip_is_link_local_unicast);
CEL_FN(ip_is_global_unicast);
CEL_FN(is_cidr);
CEL_FN(cidr);
CEL_FN(contains_ip);
CEL_FN(contains_cidr);
CEL_FN(masked);
CEL_FN(prefix_length);

/* cel_fn_authz.c */
CEL_FN(access_path);
CEL_FN(access_group);
CEL_FN(access_account);
CEL_FN(access_resource);
CEL_FN(access_subresource);
CEL_FN(access_namespace);
CEL_FN(access_name);
CEL_FN(access_field_selector);
CEL_FN(access_label_selector);
CEL_FN(access_check);
CEL_FN(decision_allowed);
CEL_FN(decision_reason);
CEL_FN(decision_errored);
CEL_FN(decision_error);

/* Copies text into the arena as a string value. */
bool cel_give_text(struct cel_run *r, const struct buf *text, struct cel_value *ret);
bool cel_url_parse(struct arena *a, struct str s, bool absolute, struct cel_url *ret,
                   const char **problem);
void cel_ip_print(struct buf *out, const struct cel_ip *ip);
bool cel_ip_parse(struct str s, struct cel_ip *ret);

#endif
