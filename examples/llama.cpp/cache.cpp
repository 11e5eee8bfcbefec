#include "cache.hpp"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace wombat {
namespace {

void say(const char *what) {
  const char *why = wmbt_kv_last_error();
  std::fprintf(stderr, "%s: %s\n", what, why == nullptr ? "nothing to say" : why);
}

wmbt_kv_call_t call_of(const std::string &fingerprint) {
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.fingerprint = fingerprint.c_str();
  return call;
}

// The token that the context is asked with when nothing is known of it yet.
llama_token any_token(const llama_context *context) {
  const llama_vocab *vocab = llama_model_get_vocab(llama_get_model(context));
  const llama_token first = llama_vocab_bos(vocab);
  return first == LLAMA_TOKEN_NULL ? 0 : first;
}

std::vector<const char *> pointers_to(const std::vector<std::string> &chain) {
  std::vector<const char *> hashes;
  // Its first entry is the seed.
  for (std::size_t i = 1; i < chain.size(); i += 1) hashes.push_back(chain[i].c_str());
  return hashes;
}

// One payload on loan, for so many tokens from `first` on.
struct Piece {
  const wmbt_kv_payload_t *payload;
  std::size_t first, count;
};

// Takes the pieces that follow one another and have the right size; gives where they end.
Restored accept(std::vector<Piece> &pieces, std::size_t token_bytes) {
  Restored restored;
  std::size_t accepted = 0;
  bool has_decoded = false;
  for (; accepted < pieces.size(); accepted += 1) {
    const Piece &piece = pieces[accepted];
    if (piece.first != restored.tokens || piece.payload->length != piece.count * token_bytes) break;
    if (!has_decoded && (piece.payload->flags & WMBT_KV_DECODED) != 0) {
      has_decoded = true;
      restored.decoded_from = piece.first;
    }
    restored.tokens += piece.count;
  }
  pieces.resize(accepted);
  if (!has_decoded) restored.decoded_from = restored.tokens;
  return restored;
}

}  // namespace

SequenceCache::SequenceCache(Handle store, llama_context *context, const std::string &model_hash,
                             const std::string &release)
    : store_(std::move(store)), context_(context) {
  llama_token token = any_token(context);
  if (llama_decode(context, llama_batch_get_one(&token, 1)) != 0) throw std::runtime_error("a token cannot be decoded");
  const SequenceState state = state_now();
  geometry_ = state.geometry();
  magic_ = state.magic();
  llama_memory_clear(llama_get_memory(context), true);
  fingerprint_ = fingerprint_of(model_hash, release, geometry_);
}

std::size_t SequenceCache::regular_batch_min() const {
  const bool is_tiled = !geometry_.is_transposed &&
                        std::any_of(geometry_.regions.begin(), geometry_.regions.end(), [](const Region &region) {
                          return region.type == GGML_TYPE_F32 || region.type == GGML_TYPE_F16;
                        });
  return is_tiled ? 64 : 2;
}

SequenceState SequenceCache::state_now() const {
  Bytes bytes(llama_state_seq_get_size(context_, 0));
  const std::size_t written = llama_state_seq_get_data(context_, bytes.data(), bytes.size(), 0);
  if (written != bytes.size()) throw std::runtime_error("llama.cpp does not give the state");
  return SequenceState(std::move(bytes));
}

Restored SequenceCache::restore(const std::vector<llama_token> &tokens) {
  const std::vector<llama_token> most(tokens.begin(), tokens.end() - 1);
  const std::vector<std::string> chain = chain_of(fingerprint_, most);
  const std::vector<const char *> hashes = pointers_to(chain);
  const wmbt_kv_call_t call = call_of(fingerprint_);
  const wmbt_kv_payload_t *payloads = nullptr, *tail = nullptr;
  wmbt_kv_borrow_t *borrow = nullptr, *tail_borrow = nullptr;
  std::size_t count = 0;
  if (wmbt_kv_load(store_.get(), "", hashes.data(), hashes.size(), &call, &payloads, &count, &borrow) < 0) say("load");
  const Borrow blocks(borrow);
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < count; i += 1) pieces.push_back({&payloads[i], i * block_tokens, block_tokens});
  const std::size_t first = count * block_tokens, rest = most.size() - first;
  if (wmbt_kv_load_tail(store_.get(), "", chain[count].c_str(), most.data() + first, std::min<std::size_t>(rest, 8192),
                        &call, &tail, &tail_borrow) < 0) {
    say("load of a tail");
  }
  const Borrow of_tail(tail_borrow);
  if (tail_borrow != nullptr) pieces.push_back({tail, first, tail->tokens});
  const Restored restored = accept(pieces, geometry_.token_bytes());
  if (restored.tokens == 0) return restored;
  // llama.cpp is given nothing but what was written whole here, of payloads whose checksums were compared.
  SequenceState state(geometry_, magic_, restored.tokens);
  for (const Piece &piece : pieces) state.paste(piece.first, piece.count, piece.payload->bytes);
  if (llama_state_seq_set_data(context_, state.bytes().data(), state.bytes().size(), 0) == state.bytes().size()) {
    return restored;
  }
  std::fprintf(stderr, "llama.cpp does not take the state\n");
  llama_memory_clear(llama_get_memory(context_), true);
  return Restored();
}

void SequenceCache::save_blocks(const SequenceState &state, const std::vector<std::string> &chain,
                                std::size_t decoded_from, Saved &saved) {
  const std::vector<const char *> hashes = pointers_to(chain);
  std::vector<std::uint8_t> present(hashes.size() + 1);
  wmbt_kv_call_t call = call_of(fingerprint_);
  if (wmbt_kv_contains(store_.get(), "", hashes.data(), hashes.size(), &call, present.data()) != 0) say("contains");
  std::size_t first = 0;
  while (first < hashes.size() && present[first] == 1) first += 1;
  std::vector<Bytes> payloads;
  std::vector<wmbt_kv_block_t> blocks;
  for (std::size_t i = first; i < hashes.size(); i += 1) {
    payloads.push_back(state.cut(i * block_tokens, block_tokens));
    const Bytes &payload = payloads.back();
    // The bytes of a vector stay where they are when the vector around it grows.
    blocks.push_back({hashes[i], payload.data(), payload.size(), block_tokens,
                      static_cast<std::uint32_t>(i * block_tokens),
                      decoded_from < (i + 1) * block_tokens ? WMBT_KV_DECODED : 0, 0});
  }
  call.parent = first == 0 ? nullptr : hashes[first - 1];
  wmbt_kv_saved_t result = {0, 0, 0};
  if (wmbt_kv_save(store_.get(), "", blocks.data(), blocks.size(), &call, &result) != 0) say("save");
  saved.blocks += result.saved;
}

void SequenceCache::save_tail(const SequenceState &state, const std::vector<llama_token> &tokens,
                              const std::vector<std::string> &chain, std::size_t end, std::size_t decoded_from,
                              Saved &saved) {
  const std::size_t block = end / block_tokens, first = block * block_tokens;
  // Without a block before it a tail is computed as fast.
  if (first == end || block == 0) return;
  const Bytes payload = state.cut(first, end - first);
  const wmbt_kv_tail_t tail = {chain[block].c_str(),
                               tokens.data() + first,
                               end - first,
                               payload.data(),
                               payload.size(),
                               static_cast<std::uint32_t>(first),
                               decoded_from < end ? WMBT_KV_DECODED : 0};
  const wmbt_kv_call_t call = call_of(fingerprint_);
  wmbt_kv_saved_t result = {0, 0, 0};
  if (wmbt_kv_save_tail(store_.get(), "", &tail, &call, &result) != 0) say("save of a tail");
  saved.tails += result.saved;
}

Saved SequenceCache::save(const std::vector<llama_token> &tokens, std::size_t prompt_tokens, std::size_t decoded_from) {
  Saved saved;
  const SequenceState state = state_now();
  if (state.cells() != tokens.size()) throw std::logic_error("the sequence has other tokens than are known");
  const std::vector<std::string> chain = chain_of(fingerprint_, tokens);
  // The last token of a prompt is computed in any case, so the next one asks for what is before it.
  save_tail(state, tokens, chain, prompt_tokens - 1, decoded_from, saved);
  if (tokens.size() > prompt_tokens) save_tail(state, tokens, chain, tokens.size(), decoded_from, saved);
  save_blocks(state, chain, decoded_from, saved);
  return saved;
}

}  // namespace wombat
