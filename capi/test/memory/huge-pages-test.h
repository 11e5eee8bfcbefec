/* Part of payload-memory-test.c. */
#ifndef HUGE_PAGES_TEST_H
#define HUGE_PAGES_TEST_H

/* Ends the process with a line that says what is not as it must be. Behind it nothing is kept. */
void test_huge_pages(void);

#endif
