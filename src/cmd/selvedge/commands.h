/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that `selvedge` runs itself. argv[0] is the command's name; each returns the exit
 * status. */
#ifndef SELVEDGE_COMMANDS_H
#define SELVEDGE_COMMANDS_H

int command_up(int argc, char **argv);
int command_down(int argc, char **argv);
int command_token(int argc, char **argv);

#endif
