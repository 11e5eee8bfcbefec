/* The index of a store as a reader has it mapped, and the one that the store has rebuilt. */
#ifndef WMBT_SHARED_VIEW_H
#define WMBT_SHARED_VIEW_H

#include "shared-reader.h"

/* Maps the index of now of the reader's store for its first view; false when there is none, or it is dead. */
bool wmbt_view_begin(struct wmbt_reader *reader);

/* One call less looks into the view, which goes when it is old. The lock of the readers is held. */
void wmbt_view_part(struct wmbt_view *view);

/*
 * Shows the store, at the reader's place among its clients, which is the oldest that is mapped. The lock of the readers
 * is held.
 */
void wmbt_views_show(const struct wmbt_reader *reader);

/* Unmaps all of them. */
void wmbt_views_free(struct wmbt_reader *reader);

#endif
