#include <nlohmann/json.hpp>

#include "curate/report.h"

namespace curate {

std::string report_html(const nlohmann::json& report) {
  return "<!doctype html><meta charset=utf-8><title>curate</title><pre>" + report.dump(1) + "</pre>\n";
}

}  // namespace curate
