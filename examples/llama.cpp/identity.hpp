// Who computed a payload: everything that changes KV values, in one digest. Two programs that compute the same
// fingerprint share blocks; docs/decisions/0002-identity-and-fingerprint.md says what enters it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sequence-state.hpp"

namespace wombat {

constexpr std::size_t block_tokens = 128;

// BLAKE3 of the model's file, or of the digests of all its shards, as 64 hexadecimal digits. Throws when it cannot
// be read.
std::string hash_model(const std::string &path);

// The fingerprint of a context without LoRA adapters and without overridden values. `release` is that of llama.cpp.
std::string fingerprint_of(const std::string &model_hash, const std::string &release, const Geometry &geometry);

// Hashes of blocks, from the seed on: chain[0] is the seed, chain[i] the hash of the i-th whole block.
std::vector<std::string> chain_of(const std::string &fingerprint, const std::vector<std::int32_t> &tokens);

// True for types whose rows are plain numbers.
bool is_plain(std::int32_t type);

}  // namespace wombat
