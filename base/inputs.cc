// The files that a command reads, and what they are called. Tested by tests/base/inputs_test.cc.
#include "base/inputs.h"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/program.h"
#include "base/records.h"
#include "base/text.h"
#include "base/unicode.h"

namespace base {
namespace fs = std::filesystem;
namespace {

// Of `curate run`, `curate instruct`, a training or a model: run.yaml and something that only they have.
bool is_output(const fs::path& folder) {
  std::error_code error;
  static constexpr std::array kOwn = {"kept",        "dropped.jsonl",       "metrics.jsonl",
                                      "checkpoints", "adapter_config.json", "config.json"};
  return fs::exists(folder / "run.yaml", error) &&
         std::ranges::any_of(kOwn, [&](const char* name) { return fs::exists(folder / name, error); });
}

std::string result_of(const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder / "kept", error)) return "what was kept: '" + (folder / "kept").string() + "'";
  if (fs::exists(folder / "train.jsonl", error))
    return "what is to be trained on: '" + (folder / "train.jsonl").string() + "'";
  return "";
}

// What a run says of its input or of itself, which a pattern takes in with its result.
bool is_account(const fs::path& file) {
  static const std::set<std::string> kAccounts = {"dropped.jsonl", "report.json",           "samples.jsonl",
                                                  "metrics.jsonl", "altered_records.jsonl", "references.json"};
  return kAccounts.contains(file.filename().string()) && is_output(file.parent_path());
}

// Why an entry of a folder is not read, as what such entries are called; "" when it is.
std::string kind_left_out(const fs::directory_entry& entry) {
  // Files that lie beside the data in a data set's folder.
  static const std::set<std::string> kMetadata = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json",
                                                  "state.json"};
  const std::string name = entry.path().filename().string();
  if (name.starts_with('.') || name.starts_with('_')) return "with a name that begins with '.' or '_'";
  if (entry.is_directory()) {
    if (entry.is_symlink()) return "linked folder (name it to have it read)";
    return is_output(entry.path()) ? "output of an earlier run" : "";
  }
  if (kMetadata.count(name) > 0) return name;
  if (!entry.is_regular_file() && !entry.is_symlink()) return "that is no file";  // a broken link fails when it is read
  if (!record_format(name).empty()) return "";
  const std::string suffix = entry.path().extension().string();
  return suffix.empty() ? name : suffix;
}

class Finder {
 public:
  void word(const std::string& word) {
    std::error_code error;
    const fs::file_status status = fs::status(word, error);
    if (word == "-" || (fs::exists(status) && !fs::is_directory(status))) return file(word);
    if (fs::is_directory(status)) return folder(word, true);
    if (word.find("**") != word.npos)
      throw UsageError({"a pattern goes through one folder at a time, and ** through one too", word, "**", "one *",
                        "name the folder itself: what lies below it is read too"});
    glob_t found{};
    const int code = ::glob(word.c_str(), GLOB_NOSORT | GLOB_BRACE, nullptr, &found);
    std::vector<std::string> matches;
    for (std::size_t i = 0; code == 0 && i < found.gl_pathc; ++i) matches.emplace_back(found.gl_pathv[i]);
    ::globfree(&found);
    const bool is_glob = word.find_first_of("*?[{") != word.npos;
    if (matches.empty())
      throw UsageError(
          {is_glob ? "no file matches the pattern" : "no such file", word, "", "", advice_for_missing(word)});
    std::sort(matches.begin(), matches.end());
    for (const std::string& match : matches) {
      if (fs::is_directory(match, error)) {
        folder(match, false);
      } else if (is_account(match)) {
        inputs.notes.push_back(
            fmt::format("{}: left out: the account of an earlier run (name it to have it read)", shortened(match)));
      } else {
        file(match);
      }
    }
    if (inputs.files.empty() && inputs.notes.empty()) throw UsageError("no file matches the pattern", word);
  }

  FoundInputs inputs;

 private:
  void file(const std::string& path) {
    struct stat status {};
    // Pipes and devices are what they are, each time.
    if (path != "-" && ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      auto [first, is_new] = known_.try_emplace({status.st_dev, status.st_ino}, path);
      if (!is_new) {
        inputs.notes.push_back(
            path == first->second
                ? fmt::format("{} was named twice and is read once", shortened(path))
                : fmt::format("{} is the same file as {} and is read once", shortened(path), shortened(first->second)));
        return;
      }
    }
    if (path == "-" && std::ranges::find(inputs.files, path) != inputs.files.end())
      throw UsageError({"standard input was named twice, and can be read once", "-", "", "one -", ""});
    inputs.files.push_back(path);
  }

  // `required`: a folder that gives no file is an error.
  void folder(const std::string& path, bool required) {
    std::error_code error;
    if (is_output(path))
      throw UsageError(
          {"the folder is the output of a run", path, "", "its files, or a folder with the input", result_of(path)});
    std::vector<std::string> files;
    std::map<std::string, std::size_t> left_out;  // what kind of entry -> how many
    fs::recursive_directory_iterator entry(path, error), end;
    for (; !error && entry != end; entry.increment(error)) {
      const std::string kind = kind_left_out(*entry);
      if (entry->is_directory() && !kind.empty()) entry.disable_recursion_pending();
      if (!kind.empty()) {
        ++left_out[kind];
      } else if (!entry->is_directory()) {
        files.push_back(entry->path().string());
      }
    }
    if (error) throw Error({"cannot read the folder: " + error.message(), path, "", "", ""});
    if (files.empty() && required)
      throw UsageError({"the folder holds no file of a known format", path, "", kRecordFormats, ""});
    std::string kinds;
    for (const auto& [kind, count] : left_out) kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", count, kind);
    if (!kinds.empty()) inputs.notes.push_back(fmt::format("{}: left out: {}", shortened(path), shortened(kinds, 300)));
    std::sort(files.begin(), files.end());
    for (const std::string& one : files) file(one);
  }

  std::map<std::pair<dev_t, ino_t>, std::string> known_;
};

}  // namespace

FoundInputs find_inputs(const std::vector<std::string>& words) {
  Finder finder;
  for (const std::string& word : words) finder.word(word);
  return std::move(finder.inputs);
}

std::vector<std::string> expand_inputs(const std::vector<std::string>& words) { return find_inputs(words).files; }

std::vector<std::string> expand_inputs(const std::vector<std::string>& words, const Context& context) {
  constexpr std::size_t kMostNotes = 10;
  FoundInputs inputs = find_inputs(words);
  if (context.quiet) return std::move(inputs.files);
  for (std::size_t i = 0; i < std::min(inputs.notes.size(), kMostNotes); ++i)
    fmt::print(context.err, "{}\n", inputs.notes[i]);
  if (inputs.notes.size() > kMostNotes)
    fmt::print(context.err, "and {} more such files\n", inputs.notes.size() - kMostNotes);
  return std::move(inputs.files);
}

std::vector<std::string> input_names(const std::vector<std::string>& files) {
  std::vector<fs::path> paths;
  for (const std::string& file : files) {
    fs::path path = file == "-" ? fs::path(file) : fs::absolute(file);
    // "link/.." is not where the link lies.
    if (std::find(path.begin(), path.end(), "..") != path.end())
      path = fs::weakly_canonical(path.parent_path()) / path.filename();
    paths.push_back(path.lexically_normal());
  }
  std::vector<fs::path> root;
  bool first = true;
  for (const fs::path& path : paths) {
    if (path == "-") continue;
    const fs::path folder = path.parent_path();
    if (first) root.assign(folder.begin(), folder.end());
    first = false;
    auto part = folder.begin();
    std::size_t same = 0;
    while (same < root.size() && part != folder.end() && root[same] == *part) ++same, ++part;
    root.resize(same);
  }
  std::vector<std::string> names;
  for (const fs::path& path : paths) {
    fs::path name;
    auto part = path.begin();
    if (path != "-") std::advance(part, static_cast<std::ptrdiff_t>(root.size()));
    for (; part != path.end(); ++part) name /= *part;
    names.push_back(valid_utf8(name.string()));
  }
  return names;
}

}  // namespace base
