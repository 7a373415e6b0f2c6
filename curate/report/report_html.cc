// report.html: one page without scripts or network. Bars are boxes with a width, so that the page works at any size.
// Tested by tests/curate/report/report_test.cc and tests/curate/configs_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/html.h"
#include "base/text.h"
#include "curate/report/report.h"

namespace curate {
using nlohmann::json;
namespace {

constexpr double kAlarm = 0.8;  // a source that loses more than this is pointed out

const char kStyle[] = R"css(
.bar{display:block;height:.85rem;border-radius:3px;background:var(--bar)}.kept{background:var(--kept)}.drop{background:var(--drop)}.track{display:flex;background:var(--line);border-radius:3px;overflow:hidden}
.funnel{display:grid;grid-template-columns:minmax(7rem,auto) 1fr auto;gap:.3rem .7rem;align-items:center}
@media(max-width:640px){td.wide,th.wide{display:none}.funnel{grid-template-columns:1fr auto;grid-auto-flow:dense}.funnel>.track{grid-column:1/-1}}
)css";

using base::html_escaped;
using base::html_histogram;
std::string text_of(const json& text) { return html_escaped(text.get_ref<const std::string&>()); }

std::uint64_t whole(const json& number) { return number.get<std::uint64_t>(); }
std::string count(std::uint64_t number) { return base::human_count(number); }
double share(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}
std::string percent(double part) { return fmt::format("{:.1f} %", 100 * part); }
std::string bar(double part, const char* kind = "") {
  return fmt::format("<span class=\"bar {}\" style=\"width:{:.2f}%\"></span>", kind, 100 * std::min(1.0, part));
}

std::string header(const json& report) {
  const std::uint64_t read = whole(report["read"]["records"]), kept = whole(report["kept"]["records"]);
  std::string files;
  for (const json& file : report["input"]) {
    if (files.size() > 400) {
      files += " …";
      break;
    }
    files += (files.empty() ? "" : ", ") + text_of(file);
  }
  auto card = [&](const char* name, const json& counts, std::string_view note) {
    return base::html_card(name, count(whole(counts["records"])), note);
  };
  auto bytes = [](const json& counts) {
    return base::human_bytes(static_cast<double>(whole(counts["bytes"]))) + " of text";
  };
  std::string html =
      "<h1>What was kept, what was dropped, and why</h1><p class=soft>" + files + "</p><div class=cards>";
  html += card("read", report["read"], bytes(report["read"]));
  html += card("kept", report["kept"], percent(share(kept, read)) + ", " + bytes(report["kept"]));
  html += card("dropped", report["dropped"], percent(share(whole(report["dropped"]["records"]), read)));
  html += card("quarantined", report["quarantined"], "could not be read");
  html += fmt::format("<div class=card>time<b>{:.1f} s</b><span class=soft>{:.1f} MB/s, {} thread{}</span></div></div>",
                      report["seconds"]["total"].get<double>(), report["megabytes_per_second"].get<double>(),
                      report["threads"].get<int>(), report["threads"].get<int>() == 1 ? "" : "s");
  for (const json& note : report.value("notes", json::array())) html += "<p class=note>" + text_of(note) + "</p>";
  return html;
}

std::string funnel(const json& report) {
  const std::uint64_t read = whole(report["read"]["records"]);
  std::uint64_t left = read;
  std::string html = "<h2>Funnel</h2><div class=funnel>";
  auto row = [&](const std::string& name, std::uint64_t here) {
    html += fmt::format("<span>{}</span><span class=track>{}</span><span>{} <span class=soft>{}</span></span>", name,
                        bar(share(here, read), "kept"), count(here), percent(share(here, read)));
  };
  row("read", read);
  left -= whole(report["quarantined"]["records"]);
  if (left != read) row("readable", left);
  for (const json& step : report["steps"]) {
    left -= whole(step["dropped"]);
    row("after " + text_of(step["step"]), left);
  }
  return html + "</div>";
}

std::string reasons(const json& report) {
  const std::uint64_t read = whole(report["read"]["records"]);
  std::string html =
      "<h2>Reasons</h2><div class=scroll><table><tr><th>step: reason<th>dropped<th>of all<th class=wide></tr>";
  std::uint64_t most = 1;
  for (const json& step : report["steps"])
    for (const auto& [reason, number] : step["reasons"].items()) most = std::max(most, whole(number));
  for (const auto& [error, number] : report["errors"].items()) most = std::max(most, whole(number));
  for (const json& step : report["steps"]) {
    std::vector<std::pair<std::uint64_t, std::string>> sorted;
    for (const auto& [reason, number] : step["reasons"].items()) sorted.emplace_back(whole(number), reason);
    std::sort(sorted.rbegin(), sorted.rend());
    for (const auto& [number, reason] : sorted)
      html += fmt::format("<tr><td class=name>{}: {}<td>{}<td>{}<td class=wide>{}</tr>", text_of(step["step"]),
                          html_escaped(reason), count(number), percent(share(number, read)),
                          bar(share(number, most), "drop"));
  }
  for (const auto& [error, number] : report["errors"].items())
    html +=
        fmt::format("<tr><td class=name>quarantine: {}<td>{}<td>{}<td class=wide>{}</tr>", html_escaped(error),
                    count(whole(number)), percent(share(whole(number), read)), bar(share(whole(number), most), "drop"));
  return html + "</table></div>";
}

std::string sources(const json& report) {
  struct Row {
    std::string name;
    std::uint64_t read, kept;
    std::string worst;
  };
  std::vector<Row> rows;
  std::string alarms;
  int alarm_count = 0;
  const auto add_row = [&](const std::string& name, const json& source) {
    Row row{name, whole(source["read"]["records"]), whole(source["kept"]["records"]), ""};
    std::uint64_t most = 0;
    for (const auto& [step, number] : source["dropped"].items())
      if (whole(number) > most) most = whole(number), row.worst = step;
    if (share(row.read - std::min(row.read, row.kept), row.read) > kAlarm && ++alarm_count <= 12)
      alarms += (alarms.empty() ? "" : ", ") + html_escaped(name);
    rows.push_back(row);
  };
  for (const auto& [name, source] : report["sources"].items()) add_row(name, source);
  const std::size_t listed = rows.size();
  if (report.contains("other_sources") && whole(report["other_sources"]["read"]["records"]) > 0)
    add_row("(all others together)", report["other_sources"]);
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return a.read != b.read ? a.read > b.read : a.name < b.name; });
  std::string html = fmt::format("<h2>Sources ({})</h2>", count(listed));
  if (alarm_count > 0)
    html += fmt::format("<p class=alarmtext>{} source{} lose{} more than {:.0f} %: {}{}</p>", alarm_count,
                        alarm_count == 1 ? "" : "s", alarm_count == 1 ? "s" : "", 100 * kAlarm, alarms,
                        alarm_count > 12 ? ", …" : "");
  html += "<div class=scroll><table><tr><th>source<th>read<th>kept<th>share<th class=wide><th>most dropped by</tr>";
  for (const Row& row : rows) {
    const bool alarm = share(row.read - std::min(row.read, row.kept), row.read) > kAlarm;
    html +=
        fmt::format("<tr{}><td class=name>{}<td>{}<td>{}<td{}>{}<td class=wide><span class=track>{}</span><td>{}</tr>",
                    alarm ? " class=alarm" : "", html_escaped(row.name), count(row.read), count(row.kept),
                    alarm ? " class=alarmtext" : "", percent(share(row.kept, row.read)),
                    bar(share(row.kept, row.read), "kept"), html_escaped(row.worst));
  }
  return html + "</table></div>";
}

// Bins as columns; `threshold` in 0..1 of the width, negative for none.
std::string distributions(const json& report) {
  std::string html;
  for (const auto& [name, score] : report["scores"].items()) {
    const bool known = score["threshold"].is_number();
    html += html_histogram(html_escaped(name), score["counts"].get<std::vector<std::uint64_t>>(),
                           known ? score["threshold"].get<double>() : -1, "0", "1",
                           known ? fmt::format("threshold {:.6g}", score["threshold"].get<double>()) : "no threshold");
  }
  auto powers = [](const json& counts) {  // without the empty bins at the end
    auto bins = counts.get<std::vector<std::uint64_t>>();
    while (bins.size() > 1 && bins.back() == 0) bins.pop_back();
    return bins;
  };
  const json counted = report.value("counts", json::object());
  for (const auto& [name, counts] : counted.items()) {
    const std::vector<std::uint64_t> bins = powers(counts);
    html += html_histogram(html_escaped(name), bins, -1, "1", count((std::uint64_t{1} << bins.size()) - 1),
                           "finds in a document; each column doubles");
  }
  for (const char* which : {"read", "kept"}) {
    const std::vector<std::uint64_t> bins = powers(report["lengths"][which]);
    html += html_histogram(fmt::format("length of what was {}", which), bins, -1, "1 byte",
                           base::human_bytes(std::pow(2.0, static_cast<double>(bins.size()))), "each column doubles");
  }
  if (!report["clusters"].empty()) {
    std::vector<std::uint64_t> bins(12);
    std::uint64_t largest = 0;
    for (const auto& [size, number] : report["clusters"].items()) {
      std::uint64_t copies = std::stoull(size);
      largest = std::max(largest, copies);
      std::size_t bin = 0;
      for (std::uint64_t rest = copies; rest > 3 && bin < 11; rest /= 2) ++bin;
      bins[bin] += whole(number);
    }
    html += html_histogram("copies of one text", bins, -1, "2-3", "4,096+",
                           "largest: " + count(largest) + "; each column doubles");
  }
  return "<h2>Distributions</h2><div class=grid>" + html + "</div>";
}

std::string languages(const json& report) {
  if (report["languages"].empty()) return "";
  std::vector<std::tuple<std::uint64_t, std::uint64_t, std::string>> rows;
  for (const auto& [name, counts] : report["languages"].items())
    rows.emplace_back(whole(counts["seen"]), whole(counts["kept"]), name);
  std::sort(rows.rbegin(), rows.rend());
  std::string html = "<h2>Languages</h2><div class=scroll><table><tr><th>language<th>seen<th>kept<th class=wide></tr>";
  for (const auto& [seen, kept, name] : rows)
    html += fmt::format("<tr><td>{}<td>{}<td>{}<td class=wide>{}</tr>", html_escaped(name), count(seen), count(kept),
                        bar(share(seen, std::get<0>(rows[0]))));
  return html + "</table></div>";
}

std::string time_table(const json& report) {
  std::string html =
      "<h2>Time</h2><div "
      "class=scroll><table><tr><th>step<th>seen<th>dropped<th>share<th>edited<th>seconds<th>MB/s</tr>";
  auto plain = [&](const char* name, const json& seconds) {
    html += fmt::format("<tr><td>{}<td><td><td><td><td>{:.2f}<td></tr>", name, seconds.get<double>());
  };
  plain("read and parse", report["seconds"]["parse"]);
  for (const json& step : report["steps"])
    html += fmt::format("<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{:.2f}<td>{:.1f}</tr>", text_of(step["step"]),
                        count(whole(step["seen"])), count(whole(step["dropped"])), percent(step["share"].get<double>()),
                        count(whole(step["edited"])), step["seconds"].get<double>(),
                        step["megabytes_per_second"].get<double>());
  plain("match duplicates", report["seconds"]["duplicates"]);
  plain("compress", report["seconds"]["write"]);
  return html +
         "</table></div><p class=soft>Seconds of processor time, all threads added up; match duplicates: of wall "
         "time.</p>";
}

std::string samples(const json& report) {
  auto articles = [](const json& all) {
    std::string html;
    for (const json& sample : all) {
      const std::string& text = sample["text"].get_ref<const std::string&>();
      html += fmt::format("<article><b>{}</b> <span class=soft>{}, {} bytes{}{}</span><pre>{}{}</pre></article>",
                          text_of(sample["id"]), text_of(sample["source"]), count(whole(sample["bytes"])),
                          sample["note"].get_ref<const std::string&>().empty() ? "" : "; ", text_of(sample["note"]),
                          html_escaped(text), text.size() < whole(sample["bytes"]) ? " …" : "");
    }
    return html;
  };
  std::string html =
      "<h2>To read</h2><p class=soft>Up to twenty documents each. Those dropped and the kept ones are chosen by the "
      "hash "
      "of their id; beside the dropped ones stand the documents that passed every rule, and this one most "
      "narrowly.</p>";
  if (report["samples"].contains("kept"))
    html += fmt::format("<details><summary>kept <span class=soft>({})</span></summary>{}</details>",
                        report["samples"]["kept"].size(), articles(report["samples"]["kept"]));
  for (const json& step : report["steps"]) {
    // Reasons that dropped something, and measures that dropped nothing but were passed narrowly.
    const std::string prefix = step["step"].get<std::string>() + ": ";
    std::set<std::string> groups;
    for (const char* key : {"samples", "near_misses"})
      for (const auto& [group, list] : report[key].items())
        if (group.starts_with(prefix)) groups.insert(group);
    for (const std::string& group : groups) {
      const json none = json::array();
      const json& dropped = report["samples"].contains(group) ? report["samples"][group] : none;
      const json& near = report["near_misses"].contains(group) ? report["near_misses"][group] : none;
      const std::string reason = group.substr(prefix.size());
      const std::uint64_t number = step["reasons"].contains(reason) ? whole(step["reasons"][reason]) : 0;
      const bool pairs = reason == "near_duplicate";
      const char* second = pairs ? "kept of the most doubtful pairs" : "passed most narrowly";
      html += fmt::format(
          "<details><summary>{} <span class=soft>(dropped {})</span></summary><div class=beside><section><h3>dropped "
          "({} of them)</h3>{}</section><section><h3>{} ({})</h3>{}</section></div></details>",
          html_escaped(group), count(number), dropped.size(),
          dropped.empty() ? "<p class=soft>none</p>" : articles(dropped), second, near.size(),
          near.empty() ? "<p class=soft>none: this reason has no value that a kept document could come near</p>"
                       : articles(near));
    }
  }
  return html;
}

}  // namespace

std::string report_html(const json& report) {
  const std::string program = "<p class=soft>" + text_of(report["program"]) + ". The numbers are in report.json.</p>";
  return base::html_page("curate: what was kept and why", kStyle,
                         header(report) + funnel(report) + reasons(report) + sources(report) + distributions(report) +
                             languages(report) + time_table(report) + samples(report) + program);
}

}  // namespace curate
