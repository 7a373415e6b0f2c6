// Numbers of a merge that change from layer to layer. Tested by tests/lora/compose/layer_curve_test.cc.
#include "lora/compose/layer_curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/text.h"

namespace lora {
namespace {

double number_of(const std::string& text, const std::string& option, const std::string& whole) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    throw base::UsageError(
        {"not a number", option, whole, "a number, or numbers from the first layer to the last: 0:0.5:1", ""});
  return value;
}

}  // namespace

double LayerCurve::at(double place) const {
  const double scaled{place * static_cast<double>(points.size() - 1)};
  const std::size_t first{static_cast<std::size_t>(scaled)}, second{std::min(points.size() - 1, first + 1)};
  const double share{scaled - static_cast<double>(first)};
  return (1 - share) * points[first] + share * points[second];
}

LayerCurve layer_curve(const std::string& text, const std::string& option) {
  LayerCurve curve;
  for (const std::string& part : base::split(text, ':')) curve.points.push_back(number_of(part, option, text));
  return curve;
}

std::vector<LayerCurve> layer_curves(const std::vector<std::string>& texts, std::size_t count,
                                     const std::string& option) {
  std::vector<LayerCurve> curves;
  for (const std::string& text : texts) curves.push_back(layer_curve(text, option));
  if (curves.empty()) curves.push_back({{1}, ""});
  if (curves.size() == 1) curves.resize(count, curves[0]);
  if (curves.size() != count)
    throw base::UsageError({"not one for each model", option, base::join(texts, ","),
                            fmt::format("{} numbers, or one", count), "in the order in which the models stand"});
  return curves;
}

LayerCurve curve_of_part(const std::string& text, const std::string& option) {
  const std::size_t sign = text.find('=');
  if (sign == std::string::npos) return layer_curve(text, option);
  LayerCurve curve = layer_curve(text.substr(sign + 1), option);
  curve.part = text.substr(0, sign);
  if (curve.part.empty())
    throw base::UsageError({"a part of a name is missing", option, text, "self_attn=0:0.5:1, or 0:0.5:1", ""});
  return curve;
}

}  // namespace lora
