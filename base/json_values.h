// Values of JSON that need not be strict.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace base {

/// Lists and objects in each other, as many as `curate run` reads too: every level takes a piece of the stack where the
/// value is written again.
inline constexpr int kMostLevels = 1024;

/// JSON with the loose numbers that Python writes (json_text.h): NaN, and the infinities for what is beyond a double,
/// as Python reads them. An integer beyond 64 bits is a `binary` of its digits, which JSON has none of: no number, so
/// that nobody computes with another. Discarded when it is no JSON, or has more than kMostLevels. Of keys that stand
/// several times in an object the last counts: then `repeated_keys` becomes true.
nlohmann::json lenient_json(std::string_view text, bool* repeated_keys = nullptr);
/// The same, members in the order of the text.
nlohmann::ordered_json lenient_ordered_json(std::string_view text, bool* repeated_keys = nullptr);

/// One line of JSON, loose numbers as Python writes them; U+FFFD for each byte that is no text.
std::string json_line(const nlohmann::json& value);
std::string json_line(const nlohmann::ordered_json& value);

/// JSON for a person or a script, indented where `indent` is not negative: U+FFFD for each byte that is no text, as a
/// path may have, and null for what is no number.
std::string json_dump(const nlohmann::json& value, int indent = -1);
std::string json_dump(const nlohmann::ordered_json& value, int indent = -1);

/// What to say of records that had a key twice.
std::string repeated_keys_note(std::uint64_t records);

}  // namespace base
