/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confines the process that parses foreign archives. A mistake in a decompressor then reaches
 * neither another file, nor another program, nor the network:
 *   - Landlock: read FILE, read and write the store, nothing else (kernel 5.13 and later);
 *   - capabilities: only what owners, modes, whiteouts and attributes of files need;
 *   - seccomp: no sockets, no exec, no new processes, no mounts, no modules, no tracing, no
 * namespaces;
 *   - no core files, bounded descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "runtime/image_import.h"

/* The leak checker of the address sanitizer reads /proc, clones and traces: such builds stay open.
 */
#ifdef __has_feature
#define SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---- Landlock ---- */

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* The rights of the first version, which every kernel with Landlock knows. */
#define FS_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif

static int allow(int ruleset, const char *path, uint64_t access)
{
    struct stat st;
    CLEANUP(fd_closep) int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISDIR(st.st_mode)) {
        access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                  LANDLOCK_ACCESS_FS_EXECUTE;
    }
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
               ? -errno
               : 0;
}

/* Files move from tmp/ to their places, so version 2 (REFER) is needed: before it every such rename
 * is refused. */
static int confine_paths(const char *store_root, const char *file)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 2) {
        return version < 0 ? -errno : -ENOSYS;
    }
    struct landlock_ruleset_attr attr = {.handled_access_fs = FS_ALL | LANDLOCK_ACCESS_FS_REFER};
    CLEANUP(fd_closep) int set = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (set < 0) {
        return -errno;
    }
    int r = allow(set, store_root, FS_ALL | LANDLOCK_ACCESS_FS_REFER);
    if (r == 0) {
        r = allow(set, file, FS_READ);
    }
    if (r == 0 && syscall(SYS_landlock_restrict_self, set, 0) < 0) {
        r = -errno;
    }
    return r;
}

/* ---- capabilities ---- */

static const int kept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID,
                           CAP_MKNOD,  CAP_SETFCAP,
                           CAP_SYS_ADMIN /* trusted.overlay.opaque; its other powers end at the seccomp filter */};

static int confine_capabilities(void)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2];
    uint32_t mask[2] = {0, 0};
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        mask[kept[i] / 32] |= 1u << (kept[i] % 32);
    }
    if (syscall(SYS_capget, &h, d) < 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        d[i].permitted &= mask[i];
        d[i].effective &= mask[i];
        d[i].inheritable = 0;
    }
    return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

/* ---- system calls ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#endif

/* The leak checker of the address sanitizer clones and traces: such builds go without the filter.
 */
#if defined(ARCH) && !defined(__SANITIZE_ADDRESS__)
static const int denied[] = {
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_execve,
    SYS_execveat,
    SYS_clone,
    SYS_clone3,
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_ptrace,
    SYS_bpf,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_perf_event_open,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_io_uring_setup,
    SYS_userfaultfd,
    SYS_move_mount,
    SYS_fsopen,
    SYS_open_tree,
    SYS_fsmount,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_kill,
    SYS_tkill,
    SYS_pidfd_send_signal,
    SYS_quotactl,
    SYS_acct,
    SYS_syslog,
    SYS_personality,
    SYS_mount_setattr,
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
};

/* load arch; not ours -> kill; load number; one jump a denied call; allow; deny with EPERM */
static int confine_calls(void)
{
    enum { N = ARRAY_SIZE(denied) };
    struct sock_filter f[N + 7];
    size_t n = 0;
    f[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    f[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    /* x32 has twins of the calls below under numbers with this bit. */
    f[n++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, (uint8_t)(N + 1), 0);
#endif
    for (size_t i = 0; i < N; i++) {
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)denied[i],
                                              (uint8_t)(N - i), 0);
    }
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog prog = {.len = (unsigned short)n, .filter = f};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0 ? -errno : 0;
}
#else
static int confine_calls(void)
{
    return -ENOSYS;
}
#endif

static void note(const char *what, int code)
{
    if (code < 0) {
        log_debug("image: %s: %s, ignoring", what, err_text(code));
    }
}

void image_confine(const char *store_root, const char *file)
{
    const struct rlimit none = {0, 0}, files = {256, 256};
    note("no new privileges", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0);
    note("core files", setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0);
    note("descriptors", setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0);
    note("capabilities", confine_capabilities());
    if (!SANITIZED) {
        note("landlock", confine_paths(store_root, file));
        note("seccomp", confine_calls());
    }
}
