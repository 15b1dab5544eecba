/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp profile RuntimeDefault: the list that containerd uses for a kubelet. Calls that are
 * harmless without a capability are allowed; others only when the container has the capability they
 * belong to; the rest fail with EPERM.
 */
#include "runtime/oci_private.h"

#include <sched.h>

#include "base/mem.h"

static const char *const always[] = {
    "_llseek",
    "_newselect",
    "accept",
    "accept4",
    "access",
    "adjtimex",
    "alarm",
    "bind",
    "brk",
    "capget",
    "capset",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "close",
    "close_range",
    "connect",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "eventfd",
    "eventfd2",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_mark",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fork",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futex",
    "futex_time64",
    "futex_waitv",
    "futimesat",
    "get_robust_list",
    "get_thread_area",
    "getcpu",
    "getcwd",
    "getdents",
    "getdents64",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getitimer",
    "getpeername",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getrlimit",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "getuid32",
    "getxattr",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_pgetevents_time64",
    "io_setup",
    "io_submit",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioctl",
    "ioprio_get",
    "ioprio_set",
    "ipc",
    "kill",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listen",
    "listxattr",
    "llistxattr",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "lstat64",
    "madvise",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "mincore",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "mprotect",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "mremap",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "nanosleep",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pause",
    "pidfd_open",
    "pidfd_send_signal",
    "pipe",
    "pipe2",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "poll",
    "ppoll",
    "ppoll_time64",
    "prctl",
    "pread64",
    "preadv",
    "preadv2",
    "prlimit64",
    "process_mrelease",
    "pselect6",
    "pselect6_time64",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "remap_file_pages",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rmdir",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "select",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "send",
    "sendfile",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_thread_area",
    "set_tid_address",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setitimer",
    "setpgid",
    "setpriority",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setrlimit",
    "setsid",
    "setsockopt",
    "setuid",
    "setuid32",
    "setxattr",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "shutdown",
    "sigaltstack",
    "signalfd",
    "signalfd4",
    "sigprocmask",
    "sigreturn",
    "socket",
    "socketcall",
    "socketpair",
    "splice",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "sysinfo",
    "tee",
    "tgkill",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "times",
    "tkill",
    "truncate",
    "truncate64",
    "ugetrlimit",
    "umask",
    "uname",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
    "vfork",
    "vmsplice",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
    "ptrace",
};

struct by_cap {
    const char *cap;
    const char *const *names;
};

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct by_cap with_cap[] = {
    {"CAP_BPF", NAMES("bpf")},
    {"CAP_DAC_READ_SEARCH", NAMES("open_by_handle_at")},
    {"CAP_PERFMON", NAMES("perf_event_open")},
    {"CAP_SYSLOG", NAMES("syslog")},
    {"CAP_SYS_ADMIN",
     NAMES("bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
           "lookup_dcookie", "mount", "mount_setattr", "move_mount", "name_to_handle_at",
           "open_tree", "perf_event_open", "quotactl", "quotactl_fd", "setdomainname",
           "sethostname", "setns", "syslog", "umount", "umount2", "unshare")},
    {"CAP_SYS_BOOT", NAMES("reboot")},
    {"CAP_SYS_CHROOT", NAMES("chroot")},
    {"CAP_SYS_MODULE", NAMES("delete_module", "finit_module", "init_module")},
    {"CAP_SYS_NICE", NAMES("get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node")},
    {"CAP_SYS_PACCT", NAMES("acct")},
    {"CAP_SYS_PTRACE",
     NAMES("kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev")},
    {"CAP_SYS_RAWIO", NAMES("ioperm", "iopl")},
    {"CAP_SYS_TIME", NAMES("clock_settime", "clock_settime64", "settimeofday", "stime")},
    {"CAP_SYS_TTY_CONFIG", NAMES("vhangup")},
};

static struct json *add_rule(struct json *rules, const char *const *names, size_t n,
                             const char *action)
{
    struct json *rule = json_push(rules, json_object(rules ? rules->arena : NULL));
    struct json *list = json_ensure_array(rule, "names");
    for (size_t i = 0; i < n && names[i]; i++) {
        json_push(list, json_string(list ? list->arena : NULL, names[i]));
    }
    json_set_str(rule, "action", action);
    return rule;
}

static void add_arg(struct json *rule, int64_t value, const char *op)
{
    struct json *arg =
        json_push(json_ensure_array(rule, "args"), json_object(rule ? rule->arena : NULL));
    json_set_int(arg, "index", 0);
    json_set_int(arg, "value", value);
    json_set_str(arg, "op", op);
}

static void add_personalities(struct json *rules)
{
    static const int64_t values[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        add_arg(add_rule(rules, NAMES("personality"), 1, "SCMP_ACT_ALLOW"), values[i],
                "SCMP_CMP_EQ");
    }
}

static void add_architecture(struct json *profile)
{
#if defined(__x86_64__)
    static const char *const names[] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
    static const char *const calls[] = {"arch_prctl", "modify_ldt"};
#elif defined(__aarch64__)
    static const char *const names[] = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
    static const char *const calls[] = {"arm_fadvise64_64", "arm_sync_file_range",
                                        "breakpoint",       "cacheflush",
                                        "set_tls",          "sync_file_range2"};
#elif defined(__riscv)
    static const char *const names[] = {"SCMP_ARCH_RISCV64"};
    static const char *const calls[] = {"riscv_flush_icache"};
#else
    static const char *const names[] = {"SCMP_ARCH_ARM"};
    static const char *const calls[] = {"arm_fadvise64_64", "arm_sync_file_range",
                                        "breakpoint",       "cacheflush",
                                        "set_tls",          "sync_file_range2"};
#endif
    struct json *list = json_ensure_array(profile, "architectures");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        json_push(list, json_string(profile ? profile->arena : NULL, names[i]));
    }
    add_rule(json_ensure_array(profile, "syscalls"), calls, ARRAY_SIZE(calls), "SCMP_ACT_ALLOW");
}

struct json *oci_seccomp_default(struct arena *a, bool (*has_cap)(const void *arg, const char *cap),
                                 const void *arg)
{
    struct json *profile = json_object(a);
    json_set_str(profile, "defaultAction", "SCMP_ACT_ERRNO");
    struct json *rules = json_ensure_array(profile, "syscalls");
    add_rule(rules, always, ARRAY_SIZE(always), "SCMP_ACT_ALLOW");
    add_personalities(rules);
    add_architecture(profile);
    for (size_t i = 0; i < ARRAY_SIZE(with_cap); i++) {
        if (has_cap(arg, with_cap[i].cap)) {
            add_rule(rules, with_cap[i].names, SIZE_MAX, "SCMP_ACT_ALLOW");
        }
    }
    if (!has_cap(arg, "CAP_SYS_ADMIN")) {
        /* New processes, but no new namespaces; ENOSYS makes the C library fall back from clone3 to
         * clone. */
        add_arg(add_rule(rules, NAMES("clone"), 1, "SCMP_ACT_ALLOW"),
                CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                    CLONE_NEWNET | CLONE_NEWCGROUP,
                "SCMP_CMP_MASKED_EQ");
        json_set_int(add_rule(rules, NAMES("clone3"), 1, "SCMP_ACT_ERRNO"), "errnoRet", 38);
    }
    return profile;
}
