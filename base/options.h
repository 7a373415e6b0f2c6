// Options declared once: one visitor line per field gives the flag, the YAML key, the help line and the line in
// run.yaml.
//
//   struct TrainOptions {
//     std::string model;
//     double learning_rate = 2e-4;
//     LoraOptions lora;
//     void visit(base::OptionVisitor& v) {
//       v.required("model", model, "base model: a Hugging Face folder or a .gguf file", base::PathKind::kModel);
//       v("learning_rate", learning_rate, "peak rate, reached after warm-up").above(0);
//       v("max_length", max_length, "the longest example").at_least(2).unit("tokens");
//       v.group("lora", lora);                              // --lora.rank, lora: {rank: 16}
//     }
//   };
//
// Order: default < preset or config file < command line. '-' and '_' are the same letter in a flag. A list takes all
// words up to the next flag (`--lora.targets q_proj v_proj`), one of numbers all numbers; it may also stand several
// times. `--flag=value` takes that value alone.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/tolerance.h"

namespace base {

/// A number of bytes, written "123", "64k", "512M" or "2GiB" (powers of 1024), "100MB" (powers of 1000).
struct ByteSize {
  std::uint64_t bytes = 0;
};

/// What a string option stands for, which says how it is made absolute when it came from a config file, and whether it
/// is read or written (see base/outputs.h). kText: left alone. kPath: a file or files to read, relative to the config
/// file ('-' and absolute paths are left alone). kModel: a model or another thing that is read as a whole, relative to
/// the config file if that exists, else left alone (a hub name). kCacheFolder: what the program keeps for itself,
/// neither input nor output; "auto" and "none" are left alone. The others are written, and made absolute like kPath: a
/// file, JSON lines, a folder, or a model, which is a file where its name ends in .gguf and else a folder.
enum class PathKind { kText, kPath, kModel, kCacheFolder, kOutputFile, kOutputRecords, kOutputFolder, kOutputModel };
inline bool is_output(PathKind kind) { return kind >= PathKind::kOutputFile; }

class OptionVisitor;

/// Something with options of its own and a name, chosen in a config file: one entry of a list such as `steps:`.
class OptionGroup {
 public:
  virtual ~OptionGroup() = default;
  virtual void visit(OptionVisitor& v) = 0;
};

/// One entry of a list of named groups, in file order.
struct NamedGroup {
  std::string name;   ///< as written: "deduplicate"
  std::string label;  ///< unique in the list: "deduplicate", "deduplicate#2"
  std::unique_ptr<OptionGroup> group;
};

/// What can stand in such a list: name -> a fresh group with its defaults.
using GroupRegistry = std::map<std::string, std::function<std::unique_ptr<OptionGroup>()>>;

/// Which numbers an option takes.
struct Range {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool above_low = false, below_high = false;  ///< the ends themselves are outside
  std::string unit;                            ///< "tokens"
  bool holds(double number) const;
  /// "1 or more tokens", "above 0, at most 1"; "" for any number
  std::string text() const;
};

inline constexpr const char* kCommandLine = "command line";  ///< where errors of its words are

/// One option, bound to the field it sets. Made by OptionVisitor. What it takes is said once, where it is declared:
/// the check, the help and the error come from there.
struct Option {
  std::string name;      ///< full name with '_': "lora.rank"
  std::string heading;   ///< what it stands under in the help, "" for none
  std::string help;      ///< one line; the default is added by the help printer
  std::string type;      ///< "flag", "number", "integer", "text", "path", "size", "count or %", "list", "numbers"
  std::string fallback;  ///< the default as text, "" for none
  bool required = false;
  bool positional = false;  ///< also takes the words without a flag
  bool is_flag = false;     ///< takes no separate word
  bool is_list = false;     ///< takes several words, and may be given several times
  bool has_commas = false;  ///< of a list: a word may hold several values, with commas
  PathKind path_kind = PathKind::kText;
  Range range;
  std::vector<std::string> choices;  ///< empty: any value
  std::function<void(const std::vector<std::string>&)>
      set;                                        ///< throws UsageError without `where`; `range` is unchecked
  std::function<std::vector<std::string>()> get;  ///< the value now, one string for a scalar
  bool given = false;

  Option& at_least(double low);
  Option& above(double low);
  Option& at_most(double high);
  Option& below(double high);
  Option& between(double low, double high) { return at_least(low).at_most(high); }
  Option& unit(std::string_view name);
  /// Of a list whose values hold no comma: `--targets q_proj,v_proj` is two. Lists of numbers have it anyway.
  Option& commas();
  /// Whether `value` is a path, and not "-" or a word that stands for one.
  bool is_path(const std::string& value) const;
  /// "--lora.rank"
  std::string flag() const;
  /// What it takes, for errors: "true or false", "one of a, b", "a whole number, 1 or more"
  std::string expected() const;
  /// Sets the field when every check passes. Throws UsageError with `where`.
  void assign(const std::vector<std::string>& words, const std::string& where);
  /// The help with range and default: "zstd level (1 to 19) [3]"
  std::string description() const;
};

/// Collects the options of a struct. A struct's `visit` is called once per collection.
class OptionVisitor {
 public:
  /// The Option holds until the next one is added.
  template <class T>
  Option& operator()(std::string_view name, T& field, std::string_view help, PathKind kind = PathKind::kText) {
    return add(name, field, help, kind);
  }
  /// Must be given, and not be empty.
  template <class T>
  Option& required(std::string_view name, T& field, std::string_view help, PathKind kind = PathKind::kText) {
    Option& option = add(name, field, help, kind);
    option.required = true;
    return option;
  }
  /// Also filled by the words without a flag, in order. At most one per command.
  void positional(std::string_view name, std::vector<std::string>& field, std::string_view help,
                  PathKind kind = PathKind::kPath) {
    add(name, field, help, kind).positional = true;
  }
  /// A text that must be one of `choices`.
  void choice(std::string_view name, std::string& field, std::vector<std::string> choices, std::string_view help);
  template <class G>
  void group(std::string_view name, G& options) {
    std::string outer = prefix_;
    prefix_ += std::string(name) + ".";
    options.visit(*this);
    prefix_ = outer;
  }
  /// The options that follow stand under this in the help. "" ends it.
  void heading(std::string_view title) { heading_ = title; }
  /// A list of named groups (`steps:`), filled from the config file only; the options of an entry become flags
  /// "--LABEL.OPTION". `field` may hold defaults already. At most one per command.
  void list(std::string_view name, std::vector<NamedGroup>& field, const GroupRegistry& registry,
            std::string_view help);

  const std::vector<Option>& options() const { return options_; }

 private:
  friend class OptionSet;
  Option& add(std::string_view name, bool& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, int& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::int64_t& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::uint64_t& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, double& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::string& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, ByteSize& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, Tolerance& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::vector<std::string>& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::vector<double>& field, std::string_view help, PathKind kind);
  Option& push(std::string_view name, std::string_view help, const char* type, PathKind kind);

  std::string prefix_, heading_;
  std::vector<Option> options_;
  std::string list_name_, list_help_;
  std::vector<NamedGroup>* list_ = nullptr;
  const GroupRegistry* registry_ = nullptr;
};

/// The options of one command, ready to be filled. The struct must outlive this object.
class OptionSet {
 public:
  template <class O>
  explicit OptionSet(O& options) : visit_([&options](OptionVisitor& v) { options.visit(v); }) {
    collect();
  }
  /// Reads a YAML text; errors and relative paths refer to `file`. Throws UsageError with file:line, the key and a
  /// suggestion.
  void read_yaml(const std::string& text, const std::string& file);
  /// The same of a preset, whose list no file replaces.
  void read_preset(const std::string& text, const std::string& name);
  /// Reads the words after the command; -o is --output. Throws UsageError.
  void read_words(const std::vector<std::string>& words);
  /// Throws UsageError naming the first required option that nothing set.
  void check_required() const;
  /// All options as a YAML text that read_yaml reads back; paths are absolute.
  std::string to_yaml() const;
  /// "  --learning-rate NUMBER   peak rate ... (above 0) [0.0002]" lines, 80 columns wide, under their headings in the
  /// order in which these first appear; "Options:" where an option has none.
  std::string help() const;
  /// The option called `name` (with '_'), or nullptr.
  const Option* find(std::string_view name) const;
  const std::vector<Option>& options() const { return visitor_.options_; }

 private:
  void collect();
  // The words with every flag in its full spelling, before each of its values, which are words of their own.
  std::vector<std::string> canonical(const std::vector<std::string>& words);
  Option& option_or_throw(const std::string& name, const std::string& where);
  class YamlReader;

  std::function<void(OptionVisitor&)> visit_;
  OptionVisitor visitor_;
  bool list_is_presets_ = false;
};

/// The lines of `yaml` (of OptionSet::to_yaml) without those options at its outer level: a saved run.yaml should repeat
/// what was done, not that it was resumed or that something was overwritten.
std::string without_options(const std::string& yaml, const std::set<std::string>& names);

}  // namespace base
