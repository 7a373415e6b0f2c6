// Values of JSON that need not be strict.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace base {

/// JSON for readers that do not write it again: where it is refused for its loose numbers, with stand-ins for them,
/// which are numbers that no reader takes for a sensible value. Discarded when it is no JSON. Of keys that stand
/// several times in an object the last counts: then `repeated_keys` becomes true.
nlohmann::json lenient_json(std::string_view text, bool* repeated_keys = nullptr);
/// The same, members in the order of the text.
nlohmann::ordered_json lenient_ordered_json(std::string_view text, bool* repeated_keys = nullptr);

/// What to say of records that had a key twice.
std::string repeated_keys_note(std::uint64_t records);

}  // namespace base
