// `lora compare`: how alike two adapters are. Tested by tests/cli/lora/compare.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_values.h"
#include "base/pipeline.h"
#include "lora/commands.h"
#include "lora/fuse/compare.h"

namespace lora {
namespace {

using nlohmann::ordered_json;

// A row of the table: sums over its modules.
struct Row {
  std::string name;
  double squared_norm_a = 0, squared_norm_b = 0, inner_product = 0, squared_difference = 0;
  double columns = 0, rows = 0;  // sums of overlaps
  std::size_t overlaps = 0;
  std::size_t modules = 0;

  void add(const ModuleComparison& module) {
    squared_norm_a += module.squared_norm_a, squared_norm_b += module.squared_norm_b;
    inner_product += module.inner_product, squared_difference += module.squared_difference;
    ++modules;
    if (module.column_angles.empty()) return;
    columns += overlap_of(module.column_angles), rows += overlap_of(module.row_angles);
    ++overlaps;
  }
  // NaN where there is nothing to divide by.
  double cosine() const { return inner_product / std::sqrt(squared_norm_a * squared_norm_b); }
  double difference() const { return std::sqrt(squared_difference / squared_norm_a); }
  double column_overlap() const { return columns / static_cast<double>(overlaps); }
  double row_overlap() const { return rows / static_cast<double>(overlaps); }
};

std::vector<Row> rows_of(const std::vector<ModuleComparison>& modules, const std::string& by) {
  std::vector<Row> rows;
  for (const ModuleComparison& module : modules) {
    const std::string name = group_of(module.name, by);
    auto row = std::ranges::find(rows, name, &Row::name);
    if (row == rows.end()) row = rows.insert(rows.end(), Row{name});
    row->add(module);
  }
  return rows;
}

ordered_json number(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(); }

ordered_json json_of(const Row& row) {
  return {{"name", row.name},
          {"modules", row.modules},
          {"norm_a", std::sqrt(row.squared_norm_a)},
          {"norm_b", std::sqrt(row.squared_norm_b)},
          {"cosine", number(row.cosine())},
          {"difference", number(row.difference())},
          {"column_overlap", number(row.column_overlap())},
          {"row_overlap", number(row.row_overlap())}};
}

ordered_json json_of(const ModuleComparison& module) {
  Row row{module.name};
  row.add(module);
  ordered_json json = json_of(row);
  json.erase("modules");
  json["rank_a"] = module.rank_a;
  json["rank_b"] = module.rank_b;
  json["column_angles"] = module.column_angles;
  json["row_angles"] = module.row_angles;
  return json;
}

std::string cell(double value) { return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-"; }

void print_row(std::ostream& out, const Row& row, std::size_t width) {
  fmt::print(out, "{:<{}} {:>10.4g} {:>10.4g} {:>8} {:>10} {:>8} {:>8}\n", row.name, width,
             std::sqrt(row.squared_norm_a), std::sqrt(row.squared_norm_b), cell(row.cosine()), cell(row.difference()),
             cell(row.column_overlap()), cell(row.row_overlap()));
}

// What A and B do not hold is not compared, and said.
std::vector<std::string> beside(const AdapterInputs& inputs) {
  std::vector<std::string> notes;
  for (std::size_t i = 0; i < inputs.adapters.size(); ++i)
    if (const Adapter& adapter = inputs.adapters[i]; !adapter.saved.empty() || !adapter.tokens.empty())
      notes.push_back(fmt::format("{} also has {} whole tensors and rows of {} modules, which are not compared",
                                  inputs.names[i], adapter.saved.size(), adapter.tokens.size()));
  return notes;
}

}  // namespace

int run_compare(CompareOptions& options, base::Context& context) {
  if (options.input.size() != 2)
    throw base::UsageError(
        {"not two adapters", "", fmt::format("{}", options.input.size()), "two adapters: lora compare A B", ""});
  const AdapterInputs inputs = read_adapters(options.input, options.base, options.threads, context);
  const std::vector<ModuleComparison> modules =
      compared(inputs.adapters[0], inputs.adapters[1], base::thread_count(options.threads));
  Row whole{"whole"};
  for (const ModuleComparison& module : modules) whole.add(module);
  const std::vector<Row> rows = rows_of(modules, options.by);
  const std::vector<std::string> notes = beside(inputs);
  if (context.json) {
    ordered_json json = {
        {"a", inputs.folders[0].string()}, {"b", inputs.folders[1].string()}, {"whole", json_of(whole)}};
    json["rows"] = ordered_json::array();
    for (const Row& row : rows) json["rows"].push_back(json_of(row));
    json["per_module"] = ordered_json::array();
    for (const ModuleComparison& module : modules) json["per_module"].push_back(json_of(module));
    json["notes"] = notes;
    context.out << base::json_dump(json) << "\n";
    return 0;
  }
  std::size_t width = 8;
  for (const Row& row : rows) width = std::max(width, row.name.size());
  fmt::print(context.out, "{:<{}} {:>10} {:>10} {:>8} {:>10} {:>8} {:>8}\n", options.by, width, "|A|", "|B|", "cosine",
             "|A-B|/|A|", "columns", "rows");
  for (const Row& row : rows) print_row(context.out, row, width);
  print_row(context.out, whole, width);
  if (context.quiet) return 0;
  fmt::print(context.err,
             "A is {}, B is {}; columns and rows: the mean squared cosine of the principal angles between what the "
             "changes can give, and between what they look at (1: the same spaces)\n",
             inputs.names[0], inputs.names[1]);
  for (const std::string& note : notes) fmt::print(context.err, "note: {}\n", note);
  return 0;
}

}  // namespace lora
