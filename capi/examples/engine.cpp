/*
 * engine.c in C++: owners free what they own, and a failure is a shorter prefix all the same.
 *
 *     c++ -std=c++11 -pthread engine.cpp $(pkg-config --cflags --libs wombatkv) -o engine
 *
 * Model, hashes and bytes are those of engine.c, so each of the two restores what the other has saved.
 */
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <wombatkv.h>

namespace {

constexpr std::size_t block_tokens = 128, row_bytes = 64;
constexpr char seed_input[] = "WMBTBLK1|example-toy-1|b128";
constexpr char space[] = "example";

struct FreeHandle {
  void operator()(wmbt_kv_handle_t *handle) const { wmbt_kv_free(handle); }
};
struct ReleaseBorrow {
  void operator()(wmbt_kv_borrow_t *borrow) const { wmbt_kv_release_borrow(borrow); }
};
using Handle = std::unique_ptr<wmbt_kv_handle_t, FreeHandle>;
using Borrow = std::unique_ptr<wmbt_kv_borrow_t, ReleaseBorrow>;
using Row = std::array<char, row_bytes>;

void say(const char *what) {
  const char *why = wmbt_kv_last_error();
  std::fprintf(stderr, "%s: %s\n", what, why == nullptr ? "nothing to say" : why);
}

std::string hash_of(const std::string &bytes) {
  std::array<char, 65> digits;
  wmbt_kv_blake3_64hex(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size(), digits.data());
  return digits.data();
}

void put_u32(std::string &bytes, std::uint32_t value) {
  for (unsigned byte = 0; byte < 4; byte += 1) bytes.push_back(static_cast<char>(value >> (8 * byte)));
}

/* A tail on loan, with its borrow. */
struct LoanedTail {
  const wmbt_kv_payload_t *payload = nullptr;
  Borrow borrow;
};

class Engine {
 public:
  explicit Engine(Handle handle) : kv_(std::move(handle)), seed_(hash_of(seed_input)) {}

  /* Serves one turn; gives how many tokens of its prompt were restored. */
  std::size_t serve(const std::string &text) {
    for (const char letter : text) tokens_.push_back(static_cast<unsigned char>(letter));
    restore();
    const std::size_t restored = rows_.size();
    while (rows_.size() < tokens_.size()) compute();
    prefilled_ = tokens_.size();
    /* For whoever asks the same, and for who goes on with the answer. */
    save();
    for (unsigned i = 0; i < 50; i += 1) {
      tokens_.push_back(rows_.back()[0]);
      compute();
    }
    save();
    return restored;
  }

  std::size_t prefilled() const { return prefilled_; }
  std::string state() const { return std::string(rows_.back().data(), 16); }

 private:
  void compute() {
    std::string input(row_bytes, '\0');
    if (!rows_.empty()) input.assign(rows_.back().data(), row_bytes);
    input.push_back(static_cast<char>(tokens_[rows_.size()]));
    const std::string digits = hash_of(input);
    Row row;
    std::memcpy(row.data(), digits.data(), row.size());
    rows_.push_back(row);
  }

  /* Hashes of the first whole blocks. */
  std::vector<std::string> chain_of(std::size_t count) const {
    std::vector<std::string> chain;
    for (std::size_t block = 0; block < count; block += 1) {
      std::string input = block == 0 ? seed_ : chain.back();
      for (std::size_t i = 0; i < block_tokens; i += 1) {
        put_u32(input, static_cast<std::uint32_t>(tokens_[block * block_tokens + i]));
      }
      chain.push_back(hash_of(input));
    }
    return chain;
  }

  static std::vector<const char *> pointers_to(const std::vector<std::string> &chain) {
    std::vector<const char *> pointers;
    for (const std::string &hash : chain) pointers.push_back(hash.c_str());
    return pointers;
  }

  const char *tip_of(const std::vector<std::string> &chain, std::size_t blocks) const {
    return blocks == 0 ? seed_.c_str() : chain[blocks - 1].c_str();
  }

  std::string write_state(std::size_t first, std::size_t count) const {
    std::string bytes;
    put_u32(bytes, static_cast<std::uint32_t>(first));
    put_u32(bytes, static_cast<std::uint32_t>(count));
    for (std::size_t i = first; i < first + count; i += 1) bytes.append(rows_[i].data(), row_bytes);
    return bytes;
  }

  /* Continues the state with bytes on loan; false when they do not fit. */
  bool read_state(const wmbt_kv_payload_t &payload) {
    std::uint32_t head[2];
    if (payload.length < sizeof head) return false;
    std::memcpy(head, payload.bytes, sizeof head);
    const std::size_t count = head[1];
    if (head[0] != rows_.size() || payload.length != sizeof head + count * row_bytes) return false;
    for (std::size_t i = 0; i < count; i += 1) {
      Row row;
      std::memcpy(row.data(), payload.bytes + sizeof head + i * row_bytes, row.size());
      rows_.push_back(row);
    }
    return true;
  }

  LoanedTail fetch_tail(const char *tip, std::size_t first) const {
    LoanedTail tail;
    wmbt_kv_borrow_t *borrow = nullptr;
    const std::size_t count = tokens_.size() - first;
    if (wmbt_kv_load_tail(kv_.get(), space, tip, tokens_.data() + first, count, nullptr, &tail.payload, &borrow) < 0) {
      say("tail");
    }
    tail.borrow.reset(borrow);
    return tail;
  }

  void restore() {
    rows_.clear();
    const std::vector<std::string> chain = chain_of(tokens_.size() / block_tokens);
    const std::vector<const char *> hashes = pointers_to(chain);
    std::size_t matched = 0, count = 0;
    if (wmbt_kv_lookup(kv_.get(), space, hashes.data(), hashes.size(), nullptr, &matched) != 0) say("lookup");
    const char *tip = tip_of(chain, matched);
    auto coming = std::async(std::launch::async, &Engine::fetch_tail, this, tip, matched * block_tokens);
    const wmbt_kv_payload_t *payloads = nullptr;
    wmbt_kv_borrow_t *borrow = nullptr;
    if (wmbt_kv_load(kv_.get(), space, hashes.data(), matched, nullptr, &payloads, &count, &borrow) < 0) say("load");
    const Borrow blocks(borrow);
    /* The thread reads tokens only, so the rows may grow beside it. */
    for (std::size_t i = 0; i < count && read_state(payloads[i]); i += 1) continue;
    const LoanedTail tail = coming.get();
    if (tail.borrow != nullptr && rows_.size() == matched * block_tokens) (void)read_state(*tail.payload);
    /* What comes out of the model is not stored: the last token is computed in any case. */
    if (rows_.size() == tokens_.size()) rows_.pop_back();
  }

  std::uint32_t flags_of(std::size_t end) const { return end > prefilled_ ? WMBT_KV_DECODED : 0; }

  void save_blocks(const std::vector<std::string> &chain) {
    const std::vector<const char *> hashes = pointers_to(chain);
    std::vector<std::uint8_t> present(chain.size() + 1);
    if (wmbt_kv_contains(kv_.get(), space, hashes.data(), hashes.size(), nullptr, present.data()) != 0) say("contains");
    std::size_t first = 0;
    while (first < chain.size() && present[first] == 1) first += 1;
    std::vector<std::string> written;
    for (std::size_t i = first; i < chain.size(); i += 1) {
      written.push_back(write_state(i * block_tokens, block_tokens));
    }
    std::vector<wmbt_kv_block_t> blocks;
    for (std::size_t i = first; i < chain.size(); i += 1) {
      const std::string &bytes = written[i - first];
      blocks.push_back({hashes[i], reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size(), block_tokens,
                        static_cast<std::uint32_t>(i * block_tokens), flags_of((i + 1) * block_tokens), 0});
    }
    wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
    call.parent = first == 0 ? nullptr : hashes[first - 1];
    if (wmbt_kv_save(kv_.get(), space, blocks.data(), blocks.size(), &call, nullptr) != 0) say("save");
  }

  void save() {
    const std::vector<std::string> chain = chain_of(tokens_.size() / block_tokens);
    save_blocks(chain);
    const std::size_t first = chain.size() * block_tokens, rest = tokens_.size() - first;
    if (rest == 0) return;
    const std::string bytes = write_state(first, rest);
    const wmbt_kv_tail_t tail = {tip_of(chain, chain.size()),
                                 tokens_.data() + first,
                                 rest,
                                 reinterpret_cast<const std::uint8_t *>(bytes.data()),
                                 bytes.size(),
                                 static_cast<std::uint32_t>(first),
                                 flags_of(tokens_.size())};
    if (wmbt_kv_save_tail(kv_.get(), space, &tail, nullptr, nullptr) != 0) say("save the tail");
  }

  const Handle kv_;
  const std::string seed_;
  std::vector<std::int32_t> tokens_;
  std::vector<Row> rows_;
  std::size_t prefilled_ = 0;
};

const char *const questions[] = {
    "System: you answer briefly, and you say when you do not know. You know the whole of the manual below, and nothing "
    "else. Chapter one: compute once. Chapter two: reuse everywhere. Chapter three: never wrong bytes. Chapter four: "
    "never lost, never slower, never someone else's. User: what is in chapter two?",
    " User: and in chapter three? Quote it, and tell me how you would find out that it is true on this machine.",
    " User: thank you. Sum up what we have said.",
};

}  // namespace

int main() {
  Handle handle(wmbt_kv_init_from_env());
  if (handle == nullptr) {
    say("cannot open");
    return 1;
  }
  Engine engine(std::move(handle));
  std::size_t turn = 0;
  for (const char *question : questions) {
    turn += 1;
    const std::size_t restored = engine.serve(question);
    std::printf("turn %zu: %zu tokens restored, %zu computed, state %s\n", turn, restored,
                engine.prefilled() - restored, engine.state().c_str());
  }
  return 0;
}
