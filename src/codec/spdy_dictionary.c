/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compression dictionary of SPDY/3: words with 4-byte lengths, then a text without any
 * (draft-mbelshe-httpbis-spdy-00 section 2.6.10.1). A unit test checks its Adler-32.
 */
#include "spdy_private.h"

/* clang-format off */
const unsigned char spdy_dictionary[SPDY_DICTIONARY_SIZE] =
    "\0\0\0\007" "options" "\0\0\0\004" "head" "\0\0\0\004" "post" "\0\0\0\003" "put"
    "\0\0\0\006" "delete" "\0\0\0\005" "trace" "\0\0\0\006" "accept" "\0\0\0\016" "accept-charset"
    "\0\0\0\017" "accept-encoding" "\0\0\0\017" "accept-language" "\0\0\0\015" "accept-ranges"
    "\0\0\0\003" "age" "\0\0\0\005" "allow" "\0\0\0\015" "authorization"
    "\0\0\0\015" "cache-control" "\0\0\0\012" "connection" "\0\0\0\014" "content-base"
    "\0\0\0\020" "content-encoding" "\0\0\0\020" "content-language" "\0\0\0\016" "content-length"
    "\0\0\0\020" "content-location" "\0\0\0\013" "content-md5" "\0\0\0\015" "content-range"
    "\0\0\0\014" "content-type" "\0\0\0\004" "date" "\0\0\0\004" "etag" "\0\0\0\006" "expect"
    "\0\0\0\007" "expires" "\0\0\0\004" "from" "\0\0\0\004" "host" "\0\0\0\010" "if-match"
    "\0\0\0\021" "if-modified-since" "\0\0\0\015" "if-none-match" "\0\0\0\010" "if-range"
    "\0\0\0\023" "if-unmodified-since" "\0\0\0\015" "last-modified" "\0\0\0\010" "location"
    "\0\0\0\014" "max-forwards" "\0\0\0\006" "pragma" "\0\0\0\022" "proxy-authenticate"
    "\0\0\0\023" "proxy-authorization" "\0\0\0\005" "range" "\0\0\0\007" "referer"
    "\0\0\0\013" "retry-after" "\0\0\0\006" "server" "\0\0\0\002" "te" "\0\0\0\007" "trailer"
    "\0\0\0\021" "transfer-encoding" "\0\0\0\007" "upgrade" "\0\0\0\012" "user-agent"
    "\0\0\0\004" "vary" "\0\0\0\003" "via" "\0\0\0\007" "warning" "\0\0\0\020" "www-authenticate"
    "\0\0\0\006" "method" "\0\0\0\003" "get" "\0\0\0\006" "status" "\0\0\0\006" "200 OK"
    "\0\0\0\007" "version" "\0\0\0\010" "HTTP/1.1" "\0\0\0\003" "url" "\0\0\0\006" "public"
    "\0\0\0\012" "set-cookie" "\0\0\0\012" "keep-alive" "\0\0\0\006" "origin"
    "1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045"
    "05203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401"
    " Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 S"
    "ervice UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, We"
    "d, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xm"
    "l,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdc"
    "hcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
/* clang-format on */
