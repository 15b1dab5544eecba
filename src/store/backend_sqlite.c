/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend over one SQLite file in WAL mode (https://www.sqlite.org/wal.html), synchronous=FULL:
 * a transaction is one append to the write-ahead log and one fsync.
 *
 *     log:   rev (primary key) | op | key | create_rev | origin | value
 *     meta:  name | value           names: compacted, ceiling
 *     op:    bit 0 = deletion, bits 1.. = STORE_F_* flags
 *
 * Rows are only ever appended and, when superfluous, deleted, so that a write touches the last page
 * of one B-tree. The file is locked exclusively: two processes cannot serve one store, and no
 * shared-memory file is needed. An idle store writes nothing.
 *
 * A commit that failed in its fsync is told as failed, but its bytes may lie complete in the log;
 * if the process ends before its next commit overwrites them, the next start sees those writes.
 * That is the usual meaning of a failed write: its outcome is unknown. Their revisions are not used
 * twice.
 */
#include "backend.h"

#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define FORMAT_VERSION 1
#define APPLICATION_ID 0x534c5644 /* "SLVD" */

enum { STMT_BEGIN, STMT_COMMIT, STMT_ROLLBACK, STMT_INSERT, STMT_DROP, STMT_META, STMT_NR };

static const char *const stmt_sql[STMT_NR] = {
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_ROLLBACK] = "ROLLBACK",
    [STMT_INSERT] = "INSERT INTO log(rev, op, key, create_rev, origin, value) VALUES(?,?,?,?,?,?)",
    [STMT_DROP] = "DELETE FROM log WHERE rev = ?",
    [STMT_META] = ("INSERT INTO meta(name, value) VALUES(?,?) "
                   "ON CONFLICT(name) DO UPDATE SET value = excluded.value"),
};

/*
 * The log is folded back into the file each 256 pages (1 MiB), and is not shortened below 2 MiB:
 * writing over an old log needs no new blocks, so that an fsync is cheaper. The cache is small,
 * since only the end of the table is touched.
 */
static const char setup_sql[] = "PRAGMA locking_mode = EXCLUSIVE;"
                                "PRAGMA trusted_schema = OFF;"
                                "PRAGMA cell_size_check = ON;"
                                "PRAGMA cache_size = -256;"
                                "PRAGMA temp_store = MEMORY;"
                                "PRAGMA journal_mode = WAL;"
                                "PRAGMA synchronous = FULL;"
                                "PRAGMA wal_autocheckpoint = 256;"
                                "PRAGMA journal_size_limit = 2097152;";

static const char schema_sql[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE log(rev INTEGER PRIMARY KEY, op INTEGER NOT NULL, key TEXT NOT NULL,"
    " create_rev INTEGER NOT NULL, origin INTEGER NOT NULL, value BLOB NOT NULL);"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "PRAGMA application_id = 1397511748;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

struct sqlite_backend {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *stmts[STMT_NR];
};

static int code_of(struct sqlite_backend *b, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return -E_NOSPACE;
    case SQLITE_NOMEM:
        return -E_NOMEM;
    case SQLITE_BUSY:
        return -E_BUSY;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return -E_ACCESS;
    default:
        break;
    }
    int os = b->db ? sqlite3_system_errno(b->db) : 0;
    /* EFBIG: over the file size that the process may write. */
    return os == ENOSPC || os == EDQUOT || os == EFBIG ? -E_NOSPACE : -E_IO;
}

static int fail(struct sqlite_backend *b, const char *what, int rc, struct err *err)
{
    int code = code_of(b, rc);
    switch (rc & 0xff) {
    case SQLITE_NOTADB:
        return err_set(err, code, "%s '%s': the file is not a database", what, b->path);
    case SQLITE_CORRUPT:
        return err_set(err, code, "%s '%s': the file is corrupt", what, b->path);
    case SQLITE_BUSY:
        return err_set(err, code, "%s '%s': another process has it open", what, b->path);
    default:
        break;
    }
    if (code == -E_NOSPACE) {
        return err_set(err, code, "%s '%s': no space left on the device", what, b->path);
    }
    return err_set(err, code, "%s '%s': %s", what, b->path, sqlite3_errmsg(b->db));
}

/* Runs a prepared statement that returns no rows. */
static int run(struct sqlite_backend *b, int stmt)
{
    int rc = sqlite3_step(b->stmts[stmt]);
    (void)sqlite3_reset(b->stmts[stmt]); /* repeats rc */
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int query_i64(struct sqlite_backend *b, const char *sql, int64_t *ret)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(b->db, sql, -1, &q, NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }
    rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        *ret = sqlite3_column_int64(q, 0);
    }
    int end = sqlite3_finalize(q);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : end;
}

/* ---- open ---- */

static void backend_close(void *p)
{
    struct sqlite_backend *b = p;
    for (int i = 0; i < STMT_NR; i++) {
        (void)sqlite3_finalize(b->stmts[i]); /* repeats the last error of the statement */
    }
    /* Checkpoints and removes the log. When that fails the log stays and is read at the next start.
     */
    (void)sqlite3_close(b->db);
    mem_free(b->path);
    *b = (struct sqlite_backend){0};
}

static int sync_folder(const char *path)
{
    CLEANUP(mem_freep) char *copy = mem_strdup(path);
    if (!copy) {
        return -ENOMEM;
    }
    CLEANUP(fd_closep) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* SQLite makes the log with the mode of the file, so only the file's own mode needs care. */
static int make_private(const char *path, struct err *err)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0) {
        int code = -errno;
        return err_sys(err, code, "open the store '%s'", path);
    }
    struct stat st;
    if (fstat(fd, &st) < 0 || ((st.st_mode & 077) && fchmod(fd, 0600) < 0)) {
        int code = -errno;
        return err_sys(err, code, "make the store '%s' private", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(err, -E_INVAL, "open the store '%s': not a plain file", path);
    }
    if (st.st_size == 0) {
        int code = sync_folder(path);
        return code < 0 ? err_sys(err, code, "sync the folder of the store '%s'", path) : 0;
    }
    return 0;
}

static int check_format(struct sqlite_backend *b, struct err *err)
{
    int64_t version = 0, application = 0, tables = 0;
    int rc = query_i64(b, "PRAGMA user_version", &version);
    rc = rc ? rc : query_i64(b, "PRAGMA application_id", &application);
    rc = rc ? rc : query_i64(b, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc != SQLITE_OK) {
        return fail(b, "open the store", rc, err);
    }
    if (tables == 0) {
        rc = sqlite3_exec(b->db, schema_sql, NULL, NULL, NULL);
        return rc == SQLITE_OK ? 0 : fail(b, "create the store", rc, err);
    }
    if (application != APPLICATION_ID) {
        return err_set(err, -E_INVAL, "open the store '%s': it is a database of another program",
                       b->path);
    }
    if (version != FORMAT_VERSION) {
        return err_set(err, -E_NOTSUP,
                       "open the store '%s': it has format %lld, this program knows %d", b->path,
                       (long long)version, FORMAT_VERSION);
    }
    return 0;
}

static int open_db(struct sqlite_backend *b, struct err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX; /* one thread at a time uses it */
    int rc = sqlite3_open_v2(b->path, &b->db, flags, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_extended_result_codes(b->db, 1); /* these only set a field */
        (void)sqlite3_busy_timeout(b->db, 1000);       /* a predecessor may still be closing */
        (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        rc = sqlite3_exec(b->db, setup_sql, NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        return fail(b, "open the store", rc, err);
    }
    int code = check_format(b, err);
    for (int i = 0; code == 0 && i < STMT_NR; i++) {
        rc = sqlite3_prepare_v3(b->db, stmt_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &b->stmts[i],
                                NULL);
        code = rc == SQLITE_OK ? 0 : fail(b, "open the store", rc, err);
    }
    return code;
}

static int backend_open(void *p, const char *path, struct err *err)
{
    struct sqlite_backend *b = p;
    b->path = mem_strdup(path);
    if (!b->path) {
        return err_set(err, -ENOMEM, "no memory to open the store");
    }
    int code = make_private(path, err);
    if (code == 0) {
        code = open_db(b, err);
    }
    if (code < 0) {
        backend_close(b);
    }
    return code;
}

/* ---- load ---- */

static void row_of(sqlite3_stmt *q, struct store_row *row)
{
    int64_t op = sqlite3_column_int64(q, 1);
    const void *key = sqlite3_column_text(q, 2);
    size_t key_n = (size_t)sqlite3_column_bytes(q, 2);
    const void *value = sqlite3_column_blob(q, 5);
    size_t value_n = (size_t)sqlite3_column_bytes(q, 5);
    *row = (struct store_row){
        .rev = sqlite3_column_int64(q, 0),
        .type = op & 1 ? STORE_DELETE : STORE_PUT,
        .flags = (unsigned)(op >> 1),
        .key = str_n(key, key_n),
        .create_rev = sqlite3_column_int64(q, 3),
        .origin = sqlite3_column_int64(q, 4),
        .value = str_n(value, value_n),
    };
}

static int load_rows(struct sqlite_backend *b, sqlite3_stmt *q, store_row_fn *fn, void *arg,
                     struct err *err)
{
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_row row;
        row_of(q, &row);
        int code = fn(arg, &row, err);
        if (code < 0) {
            return err_wrap(err, code, "read the store '%s'", b->path);
        }
    }
    return rc == SQLITE_DONE ? 0 : fail(b, "read the store", rc, err);
}

static int backend_load(void *p, store_row_fn *fn, void *arg, struct store_meta *ret,
                        struct err *err)
{
    struct sqlite_backend *b = p;
    struct store_meta meta = {0};
    int rc = query_i64(b, "SELECT value FROM meta WHERE name = 'compacted'", &meta.compacted_rev);
    rc = rc ? rc : query_i64(b, "SELECT value FROM meta WHERE name = 'ceiling'", &meta.ceiling_rev);
    sqlite3_stmt *q = NULL;
    rc = rc ? rc
            : sqlite3_prepare_v2(
                  b->db, "SELECT rev, op, key, create_rev, origin, value FROM log ORDER BY rev", -1,
                  &q, NULL);
    if (rc != SQLITE_OK) {
        return fail(b, "read the store", rc, err);
    }
    *ret = meta;
    int code = load_rows(b, q, fn, arg, err);
    (void)sqlite3_finalize(q); /* repeats the error of the last step */
    return code;
}

/* ---- commit ---- */

static int insert_row(struct sqlite_backend *b, const struct store_row *row)
{
    sqlite3_stmt *q = b->stmts[STMT_INSERT];
    int64_t op = (row->type == STORE_DELETE ? 1 : 0) | (int64_t)row->flags << 1;
    int rc = sqlite3_bind_int64(q, 1, row->rev);
    rc = rc ? rc : sqlite3_bind_int64(q, 2, op);
    rc = rc ? rc : sqlite3_bind_text(q, 3, row->key.p, (int)row->key.n, SQLITE_STATIC);
    rc = rc ? rc : sqlite3_bind_int64(q, 4, row->create_rev);
    rc = rc ? rc : sqlite3_bind_int64(q, 5, row->origin);
    rc = rc ? rc : sqlite3_bind_blob(q, 6, row->value.p, (int)row->value.n, SQLITE_STATIC);
    rc = rc ? rc : run(b, STMT_INSERT);
    (void)sqlite3_clear_bindings(q); /* the bytes are borrowed; cannot fail */
    return rc;
}

static int put_meta(struct sqlite_backend *b, const char *name, int64_t value)
{
    if (value < 0) {
        return SQLITE_OK;
    }
    sqlite3_stmt *q = b->stmts[STMT_META];
    int rc = sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    rc = rc ? rc : sqlite3_bind_int64(q, 2, value);
    return rc ? rc : run(b, STMT_META);
}

static int write_all(struct sqlite_backend *b, const struct store_commit *c)
{
    int rc = run(b, STMT_BEGIN);
    for (size_t i = 0; rc == SQLITE_OK && i < c->n; i++) {
        rc = insert_row(b, &c->rows[i]);
    }
    for (size_t i = 0; rc == SQLITE_OK && i < c->n_drop; i++) {
        rc = sqlite3_bind_int64(b->stmts[STMT_DROP], 1, c->drop[i]);
        rc = rc ? rc : run(b, STMT_DROP);
    }
    rc = rc ? rc : put_meta(b, "compacted", c->meta.compacted_rev);
    rc = rc ? rc : put_meta(b, "ceiling", c->meta.ceiling_rev);
    return rc ? rc : run(b, STMT_COMMIT);
}

static int backend_commit(void *p, const struct store_commit *c, struct err *err)
{
    struct sqlite_backend *b = p;
    int rc = write_all(b, c);
    if (rc == SQLITE_OK) {
        return 0;
    }
    int code = fail(b, "write the store", rc, err);
    if (!sqlite3_get_autocommit(b->db)) {
        (void)run(b, STMT_ROLLBACK); /* SQLite may have rolled back by itself */
    }
    return code;
}

const struct store_backend_ops store_backend_sqlite = {
    .name = "sqlite",
    .size = sizeof(struct sqlite_backend),
    .open = backend_open,
    .load = backend_load,
    .commit = backend_commit,
    .close = backend_close,
};
