// One JSON record, parsed by simdjson: what it means and the bytes to deliver are the same value.
#pragma once

#include <simdjson.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "base/json_text.h"

namespace base {

/// The value of a field: "a.b" is the member of that very name or, where there is none, member b of member a.
inline bool find_field(simdjson::dom::object object, std::string_view field, simdjson::dom::element& value) {
  if (!object.at_key(field).get(value)) return true;
  for (std::size_t dot = field.rfind('.'); dot != field.npos && dot > 0; dot = field.rfind('.', dot - 1)) {
    simdjson::dom::object inner;
    if (!object.at_key(field.substr(0, dot)).get(inner) && find_field(inner, field.substr(dot + 1), value)) return true;
  }
  return false;
}

/// Parses one line at a time; keeps its buffers. One per thread.
///
/// Beyond strict JSON it takes numbers of any size, and NaN, Infinity and -Infinity as Python writes them. Of keys that
/// stand several times in an object, at any depth and however they are escaped, the last counts, as for Python; the
/// others are taken out.
class JsonRecord {
 public:
  /// `nan_is_null`: what is not finite is delivered as null.
  explicit JsonRecord(bool nan_is_null = false) : nan_is_null_(nan_is_null) {}
  /// Parses all of `line`: an object and nothing after it, valid UTF-8. Returns "" or says what is wrong. Never throws
  /// for bad bytes. `readable` bytes after the line may be read (not used) by the parser; without 64 of them the line
  /// is copied first.
  std::string parse(std::string_view line, std::size_t readable = 0);

  // Of the record parsed last, until the next call:

  simdjson::dom::object object() const { return object_; }
  /// What to deliver: the parsed line itself, or what is left of it.
  std::string_view line() const { return line_; }
  /// The same, with stand-ins for its loose numbers, which object() has too.
  std::string_view strict_line() const { return stand_ins_.empty() ? line_ : std::string_view(strict_); }
  const StandIns& stand_ins() const { return stand_ins_; }
  bool find(std::string_view field, simdjson::dom::element& value) const { return find_field(object_, field, value); }
  /// A string as it is, a number as it is written, a truth value. Nothing for null,
  /// arrays, objects and fields that are not there. Lives until the next call, with its own `scratch`.
  std::string_view scalar(std::string_view field, std::string& scratch) const;
  bool repeated_keys() const { return repeated_keys_; }  ///< members were taken out
  bool non_finite() const { return non_finite_; }        ///< NaN or Infinity was met

 private:
  std::string read(std::string_view line, std::size_t readable);
  std::string read_loosely(std::string error);
  std::string take_out_repeats();

  bool nan_is_null_;
  simdjson::dom::parser parser_;
  simdjson::dom::object object_;
  std::string_view line_;
  std::string padded_, own_, strict_;
  StandIns stand_ins_;
  bool repeated_keys_ = false, non_finite_ = false;
};

}  // namespace base
