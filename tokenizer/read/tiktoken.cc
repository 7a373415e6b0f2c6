// Rank files of tiktoken -> BpeSpec: a token in base 64, a blank and its rank in each line. Tested by
// tests/tokenizer/vocabularies_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "tokenizer/read/ranks.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/spec/token_table.h"

namespace tokenizer {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMostRanks = std::size_t{1} << 24;  // a far rank would be memory for nothing

// A line's token and rank; false where it is none.
bool read_line(std::string_view line, std::string& token, std::size_t& rank) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  const std::size_t blank = line.find(' ');
  if (blank == std::string_view::npos || blank == 0) return false;
  token.clear();
  const char* end = line.data() + line.size();
  const auto [rest, error] = std::from_chars(line.data() + blank + 1, end, rank);
  return error == std::errc() && rest == end && append_base64(line.substr(0, blank), token);
}

[[noreturn]] void broken(const std::string& where, std::size_t line, const std::string& what,
                         const std::string& expected) {
  throw base::Error({"the file of token ranks is broken", fmt::format("{}:{}", where, line), what, expected,
                     "get the file again from its source"});
}

// The tokens by rank, "" for a hole.
base::Texts read_ranks(std::string_view bytes, const std::string& where) {
  base::Texts tokens;
  tokens.reserve(bytes.size() / 16, bytes.size() / 2);  // most lines are longer, and what they say shorter
  std::string token;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < bytes.size(); ++number) {
    const std::size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const std::string_view line = bytes.substr(begin, end - begin);
    begin = end + 1;
    if (line.empty() || line == "\r") continue;
    std::size_t rank = 0;
    if (!read_line(line, token, rank) || token.empty())
      broken(where, number + 1, base::shortened(line, 60), "a token in base 64, a blank and its rank");
    if (rank >= kMostRanks)
      broken(where, number + 1, fmt::format("rank {}", rank), fmt::format("0 to {}", kMostRanks - 1));
    if (rank < tokens.size() && !tokens[rank].empty())
      broken(where, number + 1, fmt::format("rank {} twice", rank), "one token for each rank");
    tokens.set(rank, token);
  }
  if (tokens.empty()) broken(where, 1, "it is empty", "a line for each token");
  if (tokens.size() > 4 * number + 1000)
    broken(where, number, fmt::format("{} lines and ranks up to {}", number, tokens.size() - 1),
           "ranks with few holes");
  return tokens;
}

void check_each_once(const TokenTable& tokens, const fs::path& file) {
  if (const auto& ids = tokens.twice())
    throw base::Error({"the file of token ranks is broken", file.string(),
                       fmt::format("ranks {} and {} have the same token", ids->first, ids->second), "each token once",
                       "get the file again from its source"});
}

// `pat_str` of a tokenizer_config.json beside the file.
std::string pattern_beside(const fs::path& file) {
  const fs::path config = file.parent_path() / "tokenizer_config.json";
  if (!fs::exists(config)) return "";
  const auto json = nlohmann::json::parse(base::read_file(config), nullptr, false);
  return json.is_object() && json.contains("pat_str") && json["pat_str"].is_string() ? json["pat_str"] : "";
}

void take_known(const KnownRanks& known, const std::string& where, BpeSpec& spec) {
  spec.splits = {known.split};
  if (known.nfc) spec.normalizer.push_back({NormalizerStep::kNfc, "", "", false});  // Python normalises
  spec.origin = "tiktoken ranks: " + known.name;
  for (const auto& [id, content] : known.specials) {
    if (static_cast<std::size_t>(id) < spec.tokens.size() && !spec.tokens[id].empty())
      throw base::Error({"the file of token ranks is not the one that its name says", where,
                         fmt::format("rank {} is taken", id), fmt::format("{} there, as in {}", content, known.name),
                         "give the file another name"});
    add_special(spec, id, content);
  }
  spec.roles.bos = special_id(spec, known.bos);
  spec.roles.eos = special_id(spec, known.eos);
  spec.roles.pad = special_id(spec, known.pad);
  spec.roles.add_bos = spec.roles.bos.has_value();
  for (const std::string& end : known.other_ends)
    if (const auto id = special_id(spec, end)) spec.roles.add_end(*id);
}

}  // namespace

bool looks_like_ranks(std::string_view beginning) {
  std::string token;
  std::size_t rank = 0;
  const std::size_t end = beginning.find('\n');
  return read_line(beginning.substr(0, std::min(end, beginning.size())), token, rank);
}

BpeSpec spec_from_ranks(const fs::path& file) {
  const base::MappedFile mapped(file);
  const std::string_view text(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
  BpeSpec spec = spec_of_ranks(read_ranks(text, file.string()));
  check_each_once(*spec.by_text, file);
  const std::size_t size = spec.tokens.size();
  const std::uint64_t fingerprint = fingerprint_of_ranks(spec.tokens);
  const auto known_file = std::ranges::find(known_ranks(), fingerprint, &KnownRanks::fingerprint);
  if (known_file != known_ranks().end()) return take_known(*known_file, file.string(), spec), spec;
  const std::string pattern = pattern_beside(file), stem = file.stem().string();
  if (!pattern.empty()) {
    spec.splits = {step_of_pattern(pattern, Dialect::kRust)};
    spec.origin = "tiktoken ranks, pat_str of tokenizer_config.json";
    return spec;
  }
  std::vector<std::string> names;
  for (const KnownRanks& known : known_ranks()) {
    if (!stem.empty() && known.file_stem == stem) return take_known(known, file.string(), spec), spec;
    names.push_back(known.name);
  }
  throw base::Error({"a file of token ranks does not say how texts are split, and this one is not known", file.string(),
                     fmt::format("{} tokens, fingerprint {:016x}", size, fingerprint), base::join(names, ", "),
                     "give the model's tokenizer.json, or write the regular expression as \"pat_str\" (and the special "
                     "tokens as \"added_tokens_decoder\") into a tokenizer_config.json beside the file"});
}

}  // namespace tokenizer
