/* What is granted and lent for a save, in any order and amount. */
#ifndef WMBT_TEST_TURNS_H
#define WMBT_TEST_TURNS_H

void turns_of_saves(void);

#endif
