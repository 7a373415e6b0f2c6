// JSON as text, for what a parser does not tell: where a member stands, and numbers that parsers refuse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace base {

/// Calls `f(key, value, begin, end)` for the members of a JSON object known to be valid, in order: the key as written
/// between its quotes, the value's bytes, and the offsets of the whole member in `object`. Stops when f returns false.
void for_each_member(std::string_view object,
                     const std::function<bool(std::string_view, std::string_view, std::size_t, std::size_t)>& f);

/// Calls `f(value)` for the elements of a JSON array known to be valid.
void for_each_element(std::string_view array, const std::function<void(std::string_view)>& f);

/// Is a key, as written between its quotes, that name?
bool is_key(std::string_view written, std::string_view name);

/// The value's bytes of a field of a valid object, or an empty view at null. "a.b" is the member of that very name or,
/// where there is none, member b of member a.
std::string_view find_member(std::string_view object, std::string_view field);

/// The offset behind white space from `i` on.
std::size_t skip_json_space(std::string_view text, std::size_t i);

/// A number that strict parsers refuse, by its offsets: NaN, Infinity and -Infinity, which Python writes, and numbers
/// beyond 64 bits or beyond a double.
struct LooseNumber {
  std::size_t begin = 0, end = 0;
  bool finite = true;
};
/// Those of a line that need not be valid JSON.
std::vector<LooseNumber> loose_numbers(std::string_view line);
/// Those, and the numbers that nlohmann::json would write in another way: rounded (more than 17 digits), or "1.50".
std::vector<LooseNumber> rewritten_numbers(std::string_view line);

/// A line as strict parsers take it: in place of each loose number an integer of 64 bits that stands for it and nowhere
/// else.
class StandIns {
 public:
  /// Writes `line` with stand-ins for `numbers`, its loose ones, to `strict`.
  void replace(std::string_view line, const std::vector<LooseNumber>& numbers, std::string& strict);
  void clear() { originals_.clear(); }
  bool empty() const { return originals_.empty(); }
  /// The number for which an integer stands, as it was written, or an empty view.
  std::string_view original(std::int64_t number) const;
  /// JSON written from the values of the strict line, with its loose numbers as they were.
  std::string restored(std::string_view json) const;

 private:
  std::int64_t prefix_ = 0;
  std::vector<std::string> originals_;
};

}  // namespace base
