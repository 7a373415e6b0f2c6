// Curves over the steps of a run, as HTML. Tested by tests/finetune/report_test.cc.
#include "finetune/train/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace finetune {
namespace {

// At most `limit` points, each the mean of its neighbours: a long run stays a small page.
std::vector<Point> thinned(const std::vector<Point>& points, std::size_t limit = 600) {
  if (points.size() <= limit) return points;
  std::vector<Point> result;
  for (std::size_t i = 0; i < limit; ++i) {
    const std::size_t begin = i * points.size() / limit, end = (i + 1) * points.size() / limit;
    Point sum{0, 0};
    for (std::size_t j = begin; j < end; ++j) sum = {sum.step + points[j].step, sum.value + points[j].value};
    const auto count = static_cast<double>(end - begin);
    result.push_back({sum.step / count, sum.value / count});
  }
  return result;
}

// 1, 2 or 5 times a power of ten, so that at most `count` of them fill `range`.
double tick_distance(double range, int count) {
  const double raw = range / count, power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw) return factor * power;
  return 10 * power;
}

struct Range {
  double low, high;
  void take(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  double share(double value) const { return 100 * (value - low) / (high - low); }
  std::vector<double> ticks(double distance) const {
    std::vector<double> values;
    for (double i = std::ceil(low / distance); i * distance <= high; ++i)
      values.push_back(i * distance + 0.0);  // no -0
    return values;
  }
};

struct Frame {
  Range steps, values;
  double x(const Point& point) const { return steps.share(point.step); }
  double y(const Point& point) const { return 100 - values.share(point.value); }
};

Frame frame_of(const std::vector<Curve>& curves) {
  const Point& first = curves[0].points[0];
  Frame frame{{first.step, first.step}, {first.value, first.value}};
  for (const Curve& curve : curves)
    for (const Point& point : curve.points) {
      frame.steps.take(point.step);
      frame.values.take(point.value);
    }
  if (frame.steps.low == frame.steps.high) ++frame.steps.high;
  Range& values = frame.values;
  const double size{std::max(std::abs(values.low), std::abs(values.high))};
  const bool is_flat{values.high - values.low <= 1e-9 * size};  // but for rounding
  const double margin{is_flat ? std::max(1e-12, 0.1 * size) : 0.04 * (values.high - values.low)};
  if (is_flat || values.low != 0) values.low -= margin;
  values.high += margin;
  return frame;
}

std::string line_of(const Curve& curve, const Frame& frame) {
  std::string svg = fmt::format("<polyline class={} points=\"", curve.css_class);
  const std::vector<Point> points = thinned(curve.points);
  for (const Point& point : points) svg += fmt::format("{:.2f},{:.2f} ", frame.x(point), frame.y(point));
  svg += "\"/>";
  if (!curve.dots && points.size() > 1) return svg;
  for (const Point& point : points)  // a line without length, whose round ends stay round
    svg += fmt::format("<path class={} d=\"M{:.2f} {:.2f}h0\"><title>step {:.0f}: {:.5g}</title></path>",
                       curve.css_class, frame.x(point), frame.y(point), point.step, point.value);
  return svg;
}

}  // namespace

const char* const kChartStyle = R"css(
figure{margin:0;min-width:0}figure.wide{grid-column:1/-1}.chart{position:relative;height:150px;margin:.5rem .4rem 1.5rem 3.4rem}.wide .chart{height:240px}
.chart svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}.chart *{vector-effect:non-scaling-stroke}.chart polyline{fill:none;stroke-width:1.6}.chart path{fill:none;stroke-width:7;stroke-linecap:round}.chart line{stroke:var(--line)}
.one{stroke:var(--bar);color:var(--bar)}.two{stroke:var(--drop);color:var(--drop)}.three{stroke:var(--kept);color:var(--kept)}.faint{stroke:var(--bar);color:var(--bar);opacity:.35}
.chart>span{position:absolute;color:var(--soft);font-size:12px;line-height:1;white-space:nowrap}.chart>.y{right:100%;margin-right:.45rem;transform:translateY(-50%)}.chart>.x{top:100%;margin-top:.45rem;transform:translateX(-50%)}
.legend{display:flex;flex-wrap:wrap;gap:0 1rem;color:var(--soft);font-size:.85rem}.legend b{font-weight:400}figcaption{font-weight:600}
)css";

std::vector<Point> smoothed(const std::vector<Point>& points, double steps) {
  std::vector<Point> result;
  const double keep{1 - 2 / (steps + 1)};
  double sum = 0, weight = 0;
  for (const Point& point : points) {
    if (!std::isfinite(point.value)) continue;  // a step without that figure
    sum = keep * sum + point.value;
    weight = keep * weight + 1;
    result.push_back({point.step, sum / weight});
  }
  return result;
}

std::string chart(const std::string& title, std::vector<Curve> curves, bool wide) {
  for (Curve& curve : curves)
    std::erase_if(curve.points, [](const Point& point) { return !std::isfinite(point.value); });
  std::erase_if(curves, [](const Curve& curve) { return curve.points.empty(); });
  if (curves.empty()) return "";
  const Frame frame = frame_of(curves);
  std::string lines, labels, legend;
  for (const double value : frame.values.ticks(tick_distance(frame.values.high - frame.values.low, 5))) {
    const double y{100 - frame.values.share(value)};
    lines += fmt::format("<line x1=0 x2=100 y1={0:.2f} y2={0:.2f} />", y);
    labels += fmt::format("<span class=y style=\"top:{:.2f}%\">{:.6g}</span>", y, value);
  }
  const double steps{std::max(1.0, tick_distance(frame.steps.high - frame.steps.low, 5))};
  for (const double value : frame.steps.ticks(steps))
    labels += fmt::format("<span class=x style=\"left:{:.2f}%\">{:.6g}</span>", frame.steps.share(value), value);
  for (const Curve& curve : curves) {
    lines += line_of(curve, frame);
    legend += fmt::format("<span><b class={}>&#9632;</b> {}</span>", curve.css_class, curve.name);
  }
  return fmt::format(
      "<figure class=\"plot{}\"><figcaption>{}</figcaption><div class=chart><svg viewBox=\"0 0 100 100\" "
      "preserveAspectRatio=none role=img aria-label=\"{}\">{}</svg>{}</div>{}</figure>\n",
      wide ? " wide" : "", title, title, lines, labels,
      curves.size() > 1 || wide ? "<div class=legend>" + legend + "</div>" : "");
}

}  // namespace finetune
