/* What is set and does nothing: names that nobody knows, and those that are known and without effect. */
#ifndef WMBT_ODD_SETTINGS_H
#define WMBT_ODD_SETTINGS_H

/*
 * Says so on standard error, a line for each name that is unknown and one for the others: of the environment once in a
 * process, of the options that this thread opens with each time. For a handle that has no process of Node, which
 * would say it.
 */
void wmbt_tell_odd_settings(void);

#endif
