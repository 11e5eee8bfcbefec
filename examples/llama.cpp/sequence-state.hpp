// The KV cache of one sequence as llama.cpp hands it out, cut into payloads and put together again.
//
// What llama_state_seq_get_data() gives, of version 3; all numbers are little-endian, nothing is padded:
//
//   u32 magic, i32 sequence
//   u32 streams
//   per stream    u32 cells                                     0: nothing more of this stream
//                 per cell    i32 position, u32 1, i32 sequence
//                 u32 isTransposed, u32 layers
//                 per layer   i32 type, u64 rowBytes             keys    [cells][rowBytes]
//    rows:        per layer   i32 type, u64 rowBytes             values  [cells][rowBytes]
//    transposed:  per layer   i32 type, u32 bytes, u32 rows      values  [rows][cells][bytes]
//
// A payload is what is stored of a run of c tokens: the same regions in the same order, cut to those tokens, without
// any header. src/engines/llama/state-layout.ts describes the same; blocks of one are blocks of the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace wombat {

using Bytes = std::vector<std::uint8_t>;

// The keys or the values of one layer.
struct Region {
  std::int32_t type;
  // Of one token.
  std::size_t row_bytes;
  // Of one number of a transposed region; 0 when each token is one row.
  std::size_t element_bytes;
};

// What must be equal for a payload to fit a context.
struct Geometry {
  bool is_transposed = false;
  std::uint32_t streams = 0;
  // Keys of each layer, then values of each layer.
  std::vector<Region> regions;

  std::size_t token_bytes() const;
  std::size_t layers() const { return regions.size() / 2; }
};

// A state that is understood in full: every byte of it is accounted for.
class SequenceState {
 public:
  // Throws std::runtime_error with the reason for anything that cannot be cut into blocks and put together again.
  explicit SequenceState(Bytes bytes);

  // The state of `cells` tokens, whose payloads are still to be pasted.
  SequenceState(const Geometry &geometry, std::uint32_t magic, std::size_t cells);

  const Geometry &geometry() const { return geometry_; }
  std::uint32_t magic() const { return magic_; }
  std::size_t cells() const { return cells_; }
  const Bytes &bytes() const { return bytes_; }

  // The payload of the tokens from `first` on.
  Bytes cut(std::size_t first, std::size_t count) const;

  // Puts a payload of exactly so many tokens in its place.
  void paste(std::size_t first, std::size_t count, const std::uint8_t *payload);

 private:
  // Calls copy(place in the state, place in the payload, length) for every run of bytes that lies together.
  template <typename Copy>
  void each_run(std::size_t first, std::size_t count, Copy copy) const;

  Geometry geometry_;
  std::uint32_t magic_ = 0;
  std::size_t cells_ = 0;
  // Where each region begins.
  std::vector<std::size_t> offsets_;
  Bytes bytes_;
};

}  // namespace wombat
