/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `pause`: process 1 of a PID namespace that the containers of a pod share
 * (shareProcessNamespace). It adopts and reaps what they leave, and its end is the end of the
 * namespace. Static and tiny, since one runs for each such pod.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int signum)
{
    (void)signum;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

static void end(int signum)
{
    (void)signum;
    _exit(0);
}

int main(void)
{
    struct sigaction on_child = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
    struct sigaction on_end = {.sa_handler = end};
    if (getpid() != 1) {
        static const char text[] = "pause: it is only of use as process 1 of a PID namespace\n";
        (void)!write(2, text, sizeof(text) - 1); /* there is nobody else to tell */
        return 2;
    }
    if (sigaction(SIGCHLD, &on_child, NULL) < 0 || sigaction(SIGTERM, &on_end, NULL) < 0 ||
        sigaction(SIGINT, &on_end, NULL) < 0) {
        return 1;
    }
    for (;;) {
        (void)pause(); /* always -EINTR */
    }
}
