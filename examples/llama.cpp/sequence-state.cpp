#include "sequence-state.hpp"

#include <cstring>
#include <stdexcept>

namespace wombat {
namespace {

// Bounds on what a state may claim.
constexpr std::uint32_t streams_max = 256, layers_max = 1024;
constexpr std::size_t row_bytes_max = std::size_t{1} << 24, element_bytes_max = 8;

[[noreturn]] void refuse(const std::string &reason) { throw std::runtime_error("the state cannot be used: " + reason); }

class Reader {
 public:
  explicit Reader(const Bytes &bytes) : bytes_(bytes) {}

  std::uint32_t u32() {
    const std::uint8_t *at = skip(4);
    return static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8 |
           static_cast<std::uint32_t>(at[2]) << 16 | static_cast<std::uint32_t>(at[3]) << 24;
  }

  std::int32_t i32() { return static_cast<std::int32_t>(u32()); }

  std::uint64_t u64() {
    const std::uint64_t low = u32();
    return low | static_cast<std::uint64_t>(u32()) << 32;
  }

  const std::uint8_t *skip(std::size_t length) {
    if (length > bytes_.size() - at_) refuse("it is cut off at byte " + std::to_string(at_));
    const std::uint8_t *here = bytes_.data() + at_;
    at_ += length;
    return here;
  }

  std::size_t at() const { return at_; }
  bool is_at_end() const { return at_ == bytes_.size(); }

 private:
  const Bytes &bytes_;
  std::size_t at_ = 0;
};

class Writer {
 public:
  explicit Writer(Bytes &bytes) : bytes_(bytes) {}

  void u32(std::uint32_t value) {
    for (unsigned byte = 0; byte < 4; byte += 1) bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * byte)));
  }

  void u64(std::uint64_t value) {
    u32(static_cast<std::uint32_t>(value));
    u32(static_cast<std::uint32_t>(value >> 32));
  }

 private:
  Bytes &bytes_;
};

// Cell i has to be token i of one sequence.
void check_cells(Reader &reader, std::size_t cells) {
  for (std::size_t i = 0; i < cells; i += 1) {
    const std::int32_t position = reader.i32();
    const std::uint32_t sequences = reader.u32();
    (void)reader.i32();
    if (sequences != 1 || position < 0 || static_cast<std::size_t>(position) != i) {
      refuse("cell " + std::to_string(i) + " has position " + std::to_string(position) +
             ": the context was shifted or is multimodal");
    }
  }
}

Region read_region(Reader &reader, bool is_transposed) {
  Region region = {reader.i32(), 0, 0};
  if (is_transposed) {
    region.element_bytes = reader.u32();
    region.row_bytes = region.element_bytes * reader.u32();
  } else {
    region.row_bytes = static_cast<std::size_t>(reader.u64());
  }
  const bool is_sound = region.row_bytes >= 1 && region.row_bytes <= row_bytes_max &&
                        region.element_bytes <= element_bytes_max;
  if (!is_sound) refuse("a row of type " + std::to_string(region.type) + " has " + std::to_string(region.row_bytes) +
                        " bytes");
  return region;
}

}  // namespace

std::size_t Geometry::token_bytes() const {
  std::size_t sum = 0;
  for (const Region &region : regions) sum += region.row_bytes;
  return sum;
}

SequenceState::SequenceState(Bytes bytes) : bytes_(std::move(bytes)) {
  Reader reader(bytes_);
  magic_ = reader.u32();
  (void)reader.i32();
  geometry_.streams = reader.u32();
  if (geometry_.streams < 1 || geometry_.streams > streams_max) refuse("it has too many streams, or none");
  for (std::uint32_t stream = 0; stream < geometry_.streams; stream += 1) {
    const std::size_t cells = reader.u32();
    if (cells == 0) continue;
    if (cells_ != 0) refuse("two streams hold cells");
    cells_ = cells;
    check_cells(reader, cells);
    const std::uint32_t transposed = reader.u32(), layers = reader.u32();
    if (transposed > 1 || layers < 1 || layers > layers_max) refuse("its layout is not known");
    geometry_.is_transposed = transposed == 1;
    for (std::uint32_t i = 0; i < 2 * layers; i += 1) {
      const Region region = read_region(reader, i >= layers && geometry_.is_transposed);
      geometry_.regions.push_back(region);
      offsets_.push_back(reader.at());
      (void)reader.skip(cells * region.row_bytes);
    }
  }
  if (cells_ == 0) refuse("no stream holds cells");
  if (!reader.is_at_end()) refuse("the model has sliding-window or recurrent layers");
}

SequenceState::SequenceState(const Geometry &geometry, std::uint32_t magic, std::size_t cells)
    : geometry_(geometry), magic_(magic), cells_(cells) {
  Writer writer(bytes_);
  writer.u32(magic);
  writer.u32(0);
  writer.u32(geometry.streams);
  writer.u32(static_cast<std::uint32_t>(cells));
  for (std::size_t i = 0; i < cells; i += 1) {
    writer.u32(static_cast<std::uint32_t>(i));
    writer.u32(1);
    writer.u32(0);
  }
  writer.u32(geometry.is_transposed ? 1 : 0);
  writer.u32(static_cast<std::uint32_t>(geometry.layers()));
  for (const Region &region : geometry.regions) {
    writer.u32(static_cast<std::uint32_t>(region.type));
    if (region.element_bytes > 0) {
      writer.u32(static_cast<std::uint32_t>(region.element_bytes));
      writer.u32(static_cast<std::uint32_t>(region.row_bytes / region.element_bytes));
    } else {
      writer.u64(region.row_bytes);
    }
    offsets_.push_back(bytes_.size());
    bytes_.resize(bytes_.size() + cells * region.row_bytes);
  }
  // The cells lie in the first stream, which is as good as any.
  for (std::uint32_t stream = 1; stream < geometry.streams; stream += 1) writer.u32(0);
}

template <typename Copy>
void SequenceState::each_run(std::size_t first, std::size_t count, Copy copy) const {
  if (first + count > cells_) throw std::logic_error("tokens beyond the state");
  std::size_t in_payload = 0;
  for (std::size_t i = 0; i < geometry_.regions.size(); i += 1) {
    const Region &region = geometry_.regions[i];
    // Row by row all tokens lie together; transposed, those of each number do.
    const std::size_t width = region.element_bytes > 0 ? region.element_bytes : region.row_bytes;
    for (std::size_t run = 0; run < region.row_bytes / width; run += 1) {
      copy(offsets_[i] + (run * cells_ + first) * width, in_payload, count * width);
      in_payload += count * width;
    }
  }
}

Bytes SequenceState::cut(std::size_t first, std::size_t count) const {
  Bytes payload(count * geometry_.token_bytes());
  each_run(first, count, [&](std::size_t in_state, std::size_t in_payload, std::size_t length) {
    std::memcpy(payload.data() + in_payload, bytes_.data() + in_state, length);
  });
  return payload;
}

void SequenceState::paste(std::size_t first, std::size_t count, const std::uint8_t *payload) {
  each_run(first, count, [&](std::size_t in_state, std::size_t in_payload, std::size_t length) {
    std::memcpy(bytes_.data() + in_state, payload + in_payload, length);
  });
}

}  // namespace wombat
