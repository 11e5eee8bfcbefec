// llama.cpp with a memory: restores what any process has computed of the prompt, computes the rest, answers, saves.
// README.md says how it is built.
//
//   wombat-llama MODEL.gguf [--prompt TEXT | --tokens FILE] [--predict N] [--context N] [--batch N] [--threads N]
//                [--flash] [--backends DIRECTORY]
//
// FILE holds numbers of tokens. The store is the one that the environment names, or one of its own: wombatkv.h.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ggml-backend.h>
#include <llama.h>

#include "cache.hpp"

// The release whose headers this was compiled with; it enters the fingerprint.
#ifndef LLAMA_RELEASE
#error "compile with -DLLAMA_RELEASE='\"v0.5.0\"', or what the release is"
#endif

namespace {

struct Options {
  std::string model, prompt = "Compute once, reuse everywhere.", tokens_file, backends;
  std::uint32_t predict = 16, context = 4096, batch = 512;
  std::int32_t threads = 4;
  bool has_flash_attention = false;
};

std::uint32_t number_of(const char *name, const char *text) {
  char *end = nullptr;
  const unsigned long value = std::strtoul(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < 1 || value > 1u << 24) {
    throw std::runtime_error(std::string(name) + " is " + text + "; accepted: a number from 1 on");
  }
  return static_cast<std::uint32_t>(value);
}

Options options_of(int argc, char **argv) {
  Options options;
  for (int i = 1; i < argc; i += 1) {
    const std::string name = argv[i];
    if (name.compare(0, 2, "--") != 0) {
      options.model = name;
      continue;
    }
    if (name == "--flash") {
      options.has_flash_attention = true;
      continue;
    }
    if (i + 1 == argc) throw std::runtime_error(name + " wants a value");
    const char *value = argv[++i];
    if (name == "--prompt") options.prompt = value;
    else if (name == "--tokens") options.tokens_file = value;
    else if (name == "--backends") options.backends = value;
    else if (name == "--predict") options.predict = number_of("--predict", value);
    else if (name == "--context") options.context = number_of("--context", value);
    else if (name == "--batch") options.batch = number_of("--batch", value);
    else if (name == "--threads") options.threads = static_cast<std::int32_t>(number_of("--threads", value));
    else throw std::runtime_error("unknown option " + name);
  }
  if (options.model.empty()) throw std::runtime_error("usage: wombat-llama MODEL.gguf [options]; see main.cpp");
  return options;
}

struct FreeModel {
  void operator()(llama_model *model) const { llama_model_free(model); }
};
struct FreeContext {
  void operator()(llama_context *context) const { llama_free(context); }
};
using Model = std::unique_ptr<llama_model, FreeModel>;
using Context = std::unique_ptr<llama_context, FreeContext>;

Model load_model(const Options &options) {
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = 0;
  Model model(llama_model_load_from_file(options.model.c_str(), params));
  if (model == nullptr) throw std::runtime_error("the model cannot be loaded: " + options.model);
  return model;
}

Context make_context(llama_model *model, const Options &options) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = options.context;
  params.n_batch = params.n_ubatch = options.batch;
  params.n_threads = params.n_threads_batch = options.threads;
  params.flash_attn_type =
      options.has_flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.kv_unified = false;
  Context context(llama_init_from_model(model, params));
  if (context == nullptr) throw std::runtime_error("a context cannot be made");
  return context;
}

std::vector<llama_token> tokens_of(const Options &options, const llama_vocab *vocab) {
  std::vector<llama_token> tokens;
  if (!options.tokens_file.empty()) {
    std::ifstream file(options.tokens_file);
    for (llama_token token = 0; file >> token;) {
      if (token < 0 || token >= llama_vocab_n_tokens(vocab)) throw std::runtime_error("there is no such token");
      tokens.push_back(token);
    }
    if (!file.eof()) throw std::runtime_error("the tokens cannot be read: " + options.tokens_file);
  } else {
    const auto length = static_cast<std::int32_t>(options.prompt.size());
    tokens.resize(options.prompt.size() + 8);
    const auto room = static_cast<std::int32_t>(tokens.size());
    const std::int32_t count = llama_tokenize(vocab, options.prompt.c_str(), length, tokens.data(), room, true, true);
    tokens.resize(static_cast<std::size_t>(std::max(count, 0)));
  }
  if (tokens.empty()) throw std::runtime_error("there is no prompt");
  return tokens;
}

// A prompt of so many tokens is cut before its last one, so that who restores all before it computes that token in the
// same way (docs/decisions/0016-regular-batches.md).
constexpr std::size_t cut_prompt_tokens_min = 256;

// Computes tokens from `first` on, in batches; gives the first that was computed in one too small to be regular.
std::size_t prefill(llama_context *context, std::vector<llama_token> &tokens, std::size_t first, std::size_t batch_max,
                    std::size_t regular_min) {
  std::size_t irregular = tokens.size();
  for (std::size_t at = first; at < tokens.size();) {
    const std::size_t rest = tokens.size() - at;
    const std::size_t uncut = rest > 1 && tokens.size() >= cut_prompt_tokens_min ? rest - 1 : rest;
    const std::size_t count = std::min(batch_max, uncut);
    if (count < regular_min) irregular = std::min(irregular, at);
    if (llama_decode(context, llama_batch_get_one(tokens.data() + at, static_cast<std::int32_t>(count))) != 0) {
      throw std::runtime_error("the prompt cannot be computed: is the context large enough?");
    }
    at += count;
  }
  return irregular;
}

llama_token likeliest(llama_context *context, const llama_vocab *vocab) {
  const float *logits = llama_get_logits_ith(context, -1);
  return static_cast<llama_token>(std::max_element(logits, logits + llama_vocab_n_tokens(vocab)) - logits);
}

void run(const Options &options) {
  const Model model = load_model(options);
  const Context context = make_context(model.get(), options);
  const llama_vocab *vocab = llama_model_get_vocab(model.get());
  wombat::Handle store(wmbt_kv_init_from_env());
  if (store == nullptr) throw std::runtime_error(wmbt_kv_last_error());
  wombat::SequenceCache cache(std::move(store), context.get(), wombat::hash_model(options.model), LLAMA_RELEASE);
  std::printf("fingerprint %s\n", cache.fingerprint().c_str());

  std::vector<llama_token> tokens = tokens_of(options, vocab);
  const std::size_t prompt = tokens.size();
  const wombat::Restored restored = cache.restore(tokens);
  const std::size_t irregular =
      prefill(context.get(), tokens, restored.tokens, options.batch, cache.regular_batch_min());
  std::printf("restored %zu of %zu tokens\n", restored.tokens, prompt);

  std::printf("answer");
  for (std::uint32_t i = 0; i < options.predict; i += 1) {
    llama_token token = likeliest(context.get(), vocab);
    std::printf(" %d", token);
    // The last one is said, not computed.
    if (i + 1 == options.predict || llama_vocab_is_eog(vocab, token)) break;
    if (llama_decode(context.get(), llama_batch_get_one(&token, 1)) != 0) break;
    tokens.push_back(token);
  }
  // Answers are decoded one by one; what was restored may hold such tokens too.
  const bool has_decoded = restored.decoded_from < restored.tokens;
  const std::size_t decoded_from = std::min(has_decoded ? restored.decoded_from : prompt, std::min(irregular, prompt));
  const wombat::Saved saved = cache.save(tokens, prompt, decoded_from);
  std::printf("\nsaved %llu blocks, %llu tails\n", static_cast<unsigned long long>(saved.blocks),
              static_cast<unsigned long long>(saved.tails));
}

}  // namespace

int main(int argc, char **argv) {
  try {
    const Options options = options_of(argc, argv);
    llama_log_set([](ggml_log_level level, const char *text, void *) {
      if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
    }, nullptr);
    if (options.backends.empty()) ggml_backend_load_all();
    else ggml_backend_load_all_from_path(options.backends.c_str());
    llama_backend_init();
    run(options);
    llama_backend_free();
    return 0;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "wombat-llama: %s\n", error.what());
    return 1;
  }
}
