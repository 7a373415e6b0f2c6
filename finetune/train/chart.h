// Curves over the steps of a run, as HTML.
#pragma once

#include <string>
#include <vector>

namespace finetune {

struct Point {
  double step, value;
};

struct Curve {
  std::string name;       ///< HTML
  std::string css_class;  ///< one of kChartStyle: "one", "two", "faint"
  std::vector<Point> points;
  bool dots = false;  ///< each point is one to see
};

/// A <figure> with axes and a legend, "" where no curve has a point. Lines stretch with the page, texts do not.
std::string chart(const std::string& title, std::vector<Curve> curves, bool wide = false);

/// Each point the mean of those before it, of which one counts less the farther back it is: about `steps` of them.
/// Points that are no number are left out.
std::vector<Point> smoothed(const std::vector<Point>& points, double steps);

/// Beside the style of all reports.
extern const char* const kChartStyle;

}  // namespace finetune
