// What is stored of a sequence: restored before a prompt is computed, saved after the answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <llama.h>
#include <wombatkv.h>

#include "identity.hpp"
#include "sequence-state.hpp"

namespace wombat {

struct FreeHandle {
  void operator()(wmbt_kv_handle_t *handle) const { wmbt_kv_free(handle); }
};
struct ReleaseBorrow {
  void operator()(wmbt_kv_borrow_t *borrow) const { wmbt_kv_release_borrow(borrow); }
};
using Handle = std::unique_ptr<wmbt_kv_handle_t, FreeHandle>;
using Borrow = std::unique_ptr<wmbt_kv_borrow_t, ReleaseBorrow>;

struct Restored {
  // Cells that the sequence has now.
  std::size_t tokens = 0;
  // The first of them that was decoded by itself, or tokens when none was.
  std::size_t decoded_from = 0;
};

struct Saved {
  std::uint64_t blocks = 0, tails = 0;
};

// Sequence 0 of a context, and what a store has of it. A storage fault is a shorter prefix, said on standard error.
class SequenceCache {
 public:
  // Looks at the state of one evaluated token. Throws std::runtime_error when states of this context cannot be stored.
  SequenceCache(Handle store, llama_context *context, const std::string &model_hash, const std::string &release);

  const std::string &fingerprint() const { return fingerprint_; }

  // Tokens of the smallest batch that computes a token as any other does: on a CPU, flash attention over 16 or 32 bit
  // floats computes 64 tokens or more with another program than fewer, everything else differs for a single one.
  std::size_t regular_batch_min() const;

  // Puts what is stored of the tokens into the empty sequence: at most all but the last one, because what comes out of
  // the model is not stored.
  Restored restore(const std::vector<llama_token> &tokens);

  // Stores what is new: whole blocks, and what follows the last of them where the prompt and the sequence end.
  Saved save(const std::vector<llama_token> &tokens, std::size_t prompt_tokens, std::size_t decoded_from);

 private:
  SequenceState state_now() const;
  void save_blocks(const SequenceState &state, const std::vector<std::string> &chain, std::size_t decoded_from,
                   Saved &saved);
  void save_tail(const SequenceState &state, const std::vector<llama_token> &tokens,
                 const std::vector<std::string> &chain, std::size_t end, std::size_t decoded_from, Saved &saved);

  Handle store_;
  llama_context *context_;
  Geometry geometry_;
  std::uint32_t magic_ = 0;
  std::string fingerprint_;
};

}  // namespace wombat
