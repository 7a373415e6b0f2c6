// The moment that a record's date means.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace curate {

/// Microseconds since 1970 in UTC; nothing for what is not understood. A date is
///   ISO 8601   2024, 2024-05, 2024-5-1, 2024/05/01, 20240501; behind a full date perhaps T or a space and a time
///              (12:30, 12:30:05, 12:30:05.25, 123005), behind that perhaps a zone (Z, UTC, +02:00, +0200, +02)
///   RFC 2822   Mon, 1 Jan 2024 12:30:05 +0200, also with GMT or EST, without the day of the week or the time; and
///              Jan 1, 2024
///   a number   of four digits: a year; of eight or fourteen that are one: YYYYMMDD, YYYYMMDDhhmmss; others are seconds
///              since 1970, above 10^11 thousandths of them, above 10^14 millionths, above 10^17 billionths
/// without a zone in UTC; what a date leaves out is the first there is: 2024 is 2024-01-01T00:00:00Z. A date in numbers
/// whose year does not come first (12/31/2019) is not understood: its order is not known.
std::optional<std::int64_t> parse_date(std::string_view text);

}  // namespace curate
