// What prepared data were made of, as one number. Tested by tests/finetune/data_cache_test.cc.
#include "finetune/data/data_key.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/parallel.h"
#include "base/pipeline.h"
#include "finetune/data/content_hash.h"
#include "tokenizer/chat/template_source.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// Changes when the bytes of prepared data mean something else; another program prepares anew in any case.
constexpr int kFormat = 7;

// Another build may prepare otherwise.
const std::string& program() {
  static const std::string hash = hash_of("/proc/self/exe");
  return hash;
}

// How a file is read follows from its suffixes.
std::string line_of(const std::string& file, const std::string& hash) {
  const std::string name = fs::path(file).filename().string();
  return fmt::format("file {} {}\n", hash, name.substr(std::min(name.size(), name.find('.'))));
}

void add_value(ContentHash& hash, const base::GgufValue& value) {
  std::visit(
      [&](const auto& held) {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, std::string>) {
          hash.add(held);
        } else if constexpr (std::is_same_v<T, base::Texts>) {
          for (const std::string_view text : held) hash.add(text);
        } else if constexpr (std::is_arithmetic_v<T>) {
          hash.add(&held, sizeof held);
        } else {
          hash.add(held.data(), held.size() * sizeof held[0]);
        }
      },
      value.value);
}

std::string hash_beside(const lora::ModelFiles& model) {
  static const std::set<std::string> kOfWeights = {".safetensors", ".bin",     ".gguf", ".pt", ".pth",
                                                   ".h5",          ".msgpack", ".onnx", ".ot"};
  ContentHash hash;
  if (model.is_gguf()) {
    for (const auto& [key, value] : model.gguf()->metadata()) {
      hash.add(key);
      add_value(hash, value);
    }
    return hash.text();
  }
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(model.path()))
    if (entry.is_regular_file() && !kOfWeights.contains(entry.path().extension().string())) files.insert(entry.path());
  for (const fs::path& file : files) {
    hash.add(file.filename().string());
    hash.add(hash_of(file));
  }
  return hash.text();
}

// What a template that asks for the date writes differs from day to day.
std::string day_of(const tokenizer::Tokenizer& tokenizer) {
  if (!tokenizer::asks_for_date(tokenizer)) return "";
  return " day " + (tokenizer.template_date.empty() ? tokenizer::today() : tokenizer.template_date);
}

}  // namespace

std::string identity_of(const tokenizer::Tokenizer& tokenizer, const lora::ModelFiles& model) {
  ContentHash chat;
  chat.add(tokenizer.chat_template);
  chat.add(tokenizer.tool_template);
  for (const tokenizer::AddedToken& token : model.new_tokens())
    chat.add(fmt::format("{} {} {}", token.id, token.special, token.content));
  return fmt::format("{} {} {} ends {} bos {} {}{}", hash_beside(model), tokenizer.size(), chat.text(),
                     fmt::join(tokenizer.end_ids(), ","), tokenizer.bos.value_or(-1), tokenizer.add_bos,
                     day_of(tokenizer));
}

DataKey data_key(const std::vector<std::string>& files, const DataOptions& options, const std::string& tokenizer,
                 MakerOptions making) {
  std::vector<std::string> hashes(files.size());
  base::parallel_for(files.size(), base::thread_count(options.threads),
                     [&](std::size_t i, int) { hashes[i] = hash_of(files[i]); });
  // Every option of the maker, those to come too; threads and the bound of bad records change no example.
  std::string text =
      fmt::format("format {}\nprogram {}\ntokenizer {}\n{}wanted {}\nmax_length {}\ntoo_long {}\nlimit {}\n", kFormat,
                  program(), tokenizer, base::OptionSet(making).to_yaml(), static_cast<int>(making.wanted),
                  options.max_length, options.too_long, options.limit);
  for (std::size_t i = 0; i < files.size(); ++i) text += line_of(files[i], hashes[i]);
  return key_of(text);
}

FileStates states_of(const std::vector<std::string>& files) {
  FileStates states;
  for (const std::string& file : files) states.push_back({fs::file_size(file), fs::last_write_time(file)});
  return states;
}

}  // namespace finetune
