// HTML pages: text in them, and what all reports look like.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace base {

/// `text` as it may stand between tags or in quotes; control characters but tab and line end are left out.
std::string html_escaped(std::string_view text);

/// A whole page without scripts or network, light and dark, readable at 400 pixels. `style` is CSS beside that of all
/// reports, `body` HTML.
std::string html_page(std::string_view title, std::string_view style, std::string_view body);

/// A number that matters, in a box: <div class=cards> holds them. The texts are HTML.
std::string html_card(std::string_view name, std::string_view value, std::string_view note);

/// Columns as high as `bins`, with what stands at their ends and between; a line at `threshold` (0..1; below 0: none).
/// The texts are HTML. <div class=grid> holds them.
std::string html_histogram(const std::string& title, const std::vector<std::uint64_t>& bins, double threshold,
                           const std::string& low, const std::string& high, const std::string& note);

}  // namespace base
