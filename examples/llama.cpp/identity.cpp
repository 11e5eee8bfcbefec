#include "identity.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <llama.h>
#include <wombatkv.h>

namespace wombat {
namespace {

std::string blake3_of(const void *bytes, std::size_t length) {
  char digits[65];
  // The function refuses NULL, also where there is nothing to read.
  const auto *from = static_cast<const std::uint8_t *>(length == 0 ? static_cast<const void *>("") : bytes);
  if (wmbt_kv_blake3_64hex(from, length, digits) != 0) throw std::runtime_error("nothing can be hashed");
  return digits;
}

std::string blake3_of(const std::string &text) { return blake3_of(text.data(), text.size()); }

std::string hash_file(const std::string &path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status = {};
  if (fd < 0 || fstat(fd, &status) != 0 || status.st_size <= 0) {
    if (fd >= 0) close(fd);
    throw std::runtime_error("the model cannot be read: " + path);
  }
  const auto length = static_cast<std::size_t>(status.st_size);
  void *bytes = mmap(nullptr, length, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (bytes == MAP_FAILED) throw std::runtime_error("the model cannot be mapped: " + path);
  std::string digest = blake3_of(bytes, length);
  munmap(bytes, length);
  return digest;
}

// The files of a model whose name is that of a shard: stem-00001-of-00003.gguf.
std::vector<std::string> shards_of(const std::string &path) {
  const std::string ending = ".gguf";
  const std::size_t tail = 5 + 4 + 5 + ending.size();
  const std::size_t at = path.size() < tail + 1 ? std::string::npos : path.size() - tail;
  const auto is_number = [&](std::size_t from) {
    return std::all_of(path.begin() + static_cast<std::ptrdiff_t>(from),
                       path.begin() + static_cast<std::ptrdiff_t>(from) + 5,
                       [](char one) { return one >= '0' && one <= '9'; });
  };
  const bool is_shard = at != std::string::npos && path[at - 1] == '-' && is_number(at) &&
                        path.compare(at + 5, 4, "-of-") == 0 && is_number(at + 9) &&
                        path.compare(at + 14, ending.size(), ending) == 0;
  if (!is_shard) return {path};
  const int count = std::atoi(path.substr(at + 9, 5).c_str());
  std::vector<std::string> shards;
  for (int i = 1; i <= count; i += 1) {
    char number[16];
    std::snprintf(number, sizeof number, "%05d", i);
    shards.push_back(path.substr(0, at) + number + path.substr(at + 5));
  }
  return shards;
}

// `type:bytes` of each layer; equal neighbours once, with their number.
std::string rows_text(const std::vector<Region> &regions, std::size_t first, std::size_t count) {
  std::string text;
  for (std::size_t i = first; i < first + count;) {
    std::size_t run = 1;
    while (i + run < first + count && regions[i + run].type == regions[i].type &&
           regions[i + run].row_bytes == regions[i].row_bytes) {
      run += 1;
    }
    text += (text.empty() ? "" : ",") + std::to_string(regions[i].type) + ":" + std::to_string(regions[i].row_bytes) +
            "x" + std::to_string(run);
    i += run;
  }
  return text;
}

// llama.cpp rotates quantised KV unless this variable switches it off; the state does not say so.
std::string rotation_of(const Geometry &geometry) {
  const bool is_quantised = std::any_of(geometry.regions.begin(), geometry.regions.end(),
                                        [](const Region &region) { return !is_plain(region.type); });
  if (!is_quantised) return "not-applicable";
  const char *off = std::getenv("LLAMA_ATTN_ROT_DISABLE");
  return off == nullptr || std::atoi(off) == 0 ? "on" : "off";
}

}  // namespace

bool is_plain(std::int32_t type) { return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16; }

std::string hash_model(const std::string &path) {
  const std::vector<std::string> shards = shards_of(path);
  std::string digests;
  for (const std::string &shard : shards) digests += hash_file(shard);
  return shards.size() == 1 ? digests : blake3_of(digests);
}

std::string fingerprint_of(const std::string &model_hash, const std::string &release, const Geometry &geometry) {
  const std::size_t layers = geometry.layers();
  // Sorted by name.
  const std::string text = "wombatkv-fingerprint-1\n"
                           "attention.rotation=" + rotation_of(geometry) + "\n"
                           "engine=llama.cpp\n"
                           "k.rows=" + rows_text(geometry.regions, 0, layers) + "\n"
                           "model.blake3=" + model_hash + "\n"
                           "release=" + release + "\n"
                           "state.version=" + std::to_string(LLAMA_STATE_SEQ_VERSION) + "\n"
                           "v.rows=" + rows_text(geometry.regions, layers, layers) + "\n"
                           "v.transposed=" + (geometry.is_transposed ? "1" : "0") + "\n";
  return blake3_of(text);
}

std::vector<std::string> chain_of(const std::string &fingerprint, const std::vector<std::int32_t> &tokens) {
  std::vector<std::string> chain = {
      blake3_of("WMBTBLK1|" + fingerprint + "|llama-v1|b" + std::to_string(block_tokens))};
  for (std::size_t block = 0; (block + 1) * block_tokens <= tokens.size(); block += 1) {
    std::string input = chain.back();
    for (std::size_t i = 0; i < block_tokens; i += 1) {
      const auto token = static_cast<std::uint32_t>(tokens[block * block_tokens + i]);
      for (unsigned byte = 0; byte < 4; byte += 1) input.push_back(static_cast<char>(token >> (8 * byte)));
    }
    chain.push_back(blake3_of(input));
  }
  return chain;
}

}  // namespace wombat
