// The page of a run: loss curves, rate, figures, options. Tested by tests/finetune/train_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/html.h"
#include "base/text.h"
#include "finetune/train/metrics.h"

namespace finetune {
namespace {

struct Point {
  double x, y;
};
struct Curve {
  std::string name, css_class;
  std::vector<Point> points;
  bool dots = false;
};

// At most `limit` points, each the mean of its neighbours: a long run stays a small page.
std::vector<Point> thinned(const std::vector<Point>& points, std::size_t limit = 800) {
  if (points.size() <= limit) return points;
  std::vector<Point> result;
  for (std::size_t i = 0; i < limit; ++i) {
    const std::size_t begin = i * points.size() / limit, end = (i + 1) * points.size() / limit;
    Point sum{0, 0};
    for (std::size_t j = begin; j < end; ++j) sum = {sum.x + points[j].x, sum.y + points[j].y};
    const auto count = static_cast<double>(end - begin);
    result.push_back({sum.x / count, sum.y / count});
  }
  return result;
}

// 1, 2 or 5 times a power of ten, so that about `count` ticks fill `range`.
double tick_distance(double range, int count) {
  const double raw = range / count, power = std::pow(10.0, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

// An SVG of 800 x 300 units with axes, grid and a legend.
std::string chart(const std::string& title, std::vector<Curve> curves) {
  std::erase_if(curves, [](const Curve& curve) { return curve.points.empty(); });
  if (curves.empty()) return "";
  double left = curves[0].points[0].x, right = left, low = curves[0].points[0].y, high = low;
  for (const Curve& curve : curves) {
    for (const Point& point : curve.points) {
      left = std::min(left, point.x);
      right = std::max(right, point.x);
      low = std::min(low, point.y);
      high = std::max(high, point.y);
    }
  }
  if (right == left) right = left + 1;
  if (high == low) high = low + std::max(1e-12, std::abs(low) * 0.1);
  constexpr double kLeft = 70, kRight = 790, kTop = 10, kBottom = 265;
  auto x = [&](double value) { return kLeft + (value - left) / (right - left) * (kRight - kLeft); };
  auto y = [&](double value) { return kBottom - (value - low) / (high - low) * (kBottom - kTop); };
  std::string svg = fmt::format("<h2>{}</h2>\n<svg viewBox=\"0 0 800 300\" role=\"img\" aria-label=\"{}\">\n",
                                base::html_escaped(title), base::html_escaped(title));
  const double distance_y = tick_distance(high - low, 5), distance_x = tick_distance(right - left, 8);
  for (double value = std::ceil(low / distance_y) * distance_y; value <= high; value += distance_y) {
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.4g}</text>\n",
        kLeft, kRight, y(value), kLeft - 6, y(value) + 4, value);
  }
  for (double value = std::ceil(left / distance_x) * distance_x; value <= right; value += distance_x) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.6g}</text>\n", x(value), kBottom + 20,
                       value);
  }
  for (const Curve& curve : curves) {
    svg += fmt::format("<polyline class=\"{}\" points=\"", curve.css_class);
    const std::vector<Point> points = thinned(curve.points);
    for (const Point& point : points) svg += fmt::format("{:.1f},{:.1f} ", x(point.x), y(point.y));
    svg += "\"/>\n";
    if (!curve.dots) continue;
    for (const Point& point : points) {
      svg += fmt::format(
          "<circle class=\"{}\" r=\"4\" cx=\"{:.1f}\" cy=\"{:.1f}\"><title>step {}: {:.4f}</title></circle>\n",
          curve.css_class, x(point.x), y(point.y), point.x, point.y);
    }
  }
  svg += "</svg>\n<p class=\"legend\">";
  for (const Curve& curve : curves) {
    svg += fmt::format("<span class=\"{}\">&#9632;</span> {} &nbsp; ", curve.css_class, base::html_escaped(curve.name));
  }
  return svg + "</p>\n";
}

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --faint: #ddd; --one: #1f6fb4; --two: #c2410c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --paper: #161616; --faint: #3a3a3a; --one: #6cb2eb; --two: #fb923c; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 56rem;
  margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; height: auto; } text { font-size: 12px; fill: var(--ink); }
.grid { stroke: var(--faint); } polyline { fill: none; stroke-width: 1.5; }
polyline.one { stroke: var(--one); } polyline.two { stroke: var(--two); }
circle.one, span.one { fill: var(--one); color: var(--one); } circle.two, span.two { fill: var(--two); color: var(--two); }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; border-bottom: 1px solid var(--faint);
  text-align: right; } pre { overflow-x: auto; }
)";

}  // namespace

std::string report_html(const std::vector<StepMetrics>& steps, const std::vector<EvaluationMetrics>& evaluations,
                        const std::string& summary, const std::string& run_yaml) {
  auto curve = [](const char* name, const char* css_class, const auto& metrics, auto value, bool dots) {
    Curve result{name, css_class, {}, dots};
    for (const auto& metric : metrics) result.points.push_back({static_cast<double>(metric.step), value(metric)});
    return result;
  };
  auto loss = [](const auto& metric) { return metric.loss; };
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">\n<title>Training run</title>\n<style>{}</style>\n<h1>Training "
      "run</h1>\n<p>{}</p>\n",
      kStyle, base::html_escaped(summary));
  page += chart("Loss by step (nats per trained token)",
                {curve("training", "one", steps, loss, false), curve("validation", "two", evaluations, loss, true)});
  page +=
      chart("Learning rate",
            {curve(
                "learning rate", "one", steps, [](const StepMetrics& metric) { return metric.learning_rate; }, false)});
  page += chart("Norm of the gradient, before the clip",
                {curve(
                    "norm", "one", steps, [](const StepMetrics& metric) { return metric.gradient_norm; }, false)});
  if (!steps.empty()) {
    double tokens = 0, trained = 0, seconds = 0;
    for (const StepMetrics& metric : steps) {
      tokens += static_cast<double>(metric.tokens);
      trained += static_cast<double>(metric.trained_tokens);
      seconds += static_cast<double>(metric.tokens) / metric.tokens_per_second;
    }
    page += fmt::format("<p>{} tokens, {} of them trained, in {} of training steps: {:.0f} tokens/s.</p>\n",
                        base::human_count(static_cast<std::uint64_t>(tokens)),
                        base::human_count(static_cast<std::uint64_t>(trained)), base::human_seconds(seconds),
                        tokens / seconds);
  }
  if (!evaluations.empty()) {
    page += "<table><tr><th>step</th><th>validation loss</th><th>perplexity</th></tr>\n";
    for (const EvaluationMetrics& metric : evaluations) {
      page += fmt::format("<tr><td>{}</td><td>{:.4f}</td><td>{:.2f}</td></tr>\n", metric.step, metric.loss,
                          metric.perplexity);
    }
    page += "</table>\n";
  }
  return page + fmt::format("<h2>Options</h2>\n<pre>{}</pre>\n</html>\n", base::html_escaped(run_yaml));
}

}  // namespace finetune
