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
:root{color-scheme:light dark;--bg:#fcfcfa;--fg:#1d2328;--soft:#68727c;--line:#dfe2e4;--card:#fff;--kept:#2b7a5b;--drop:#b4532a;--bar:#4a78a8;--alarm:#b3261e;--alarmbg:#fdecea}
@media(prefers-color-scheme:dark){:root{--bg:#15191d;--fg:#dfe4e8;--soft:#94a0ab;--line:#2f363d;--card:#1c2228;--kept:#58b48f;--drop:#e08a5f;--bar:#7aa7d6;--alarm:#ff8a80;--alarmbg:#3a1f1d}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1150px;padding:1.2rem;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}p{margin:.3rem 0}.soft{color:var(--soft)}
.cards{display:flex;flex-wrap:wrap;gap:.7rem;margin:1rem 0}.card{flex:1 1 150px;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem .9rem}.card b{display:block;font-size:1.4rem}
.scroll{overflow:auto;max-height:30rem;border:1px solid var(--line);border-radius:8px;background:var(--card)}table{border-collapse:collapse;width:100%}th,td{padding:.25rem .6rem;text-align:right;white-space:nowrap}th{position:sticky;top:0;background:var(--card);color:var(--soft);font-weight:600}th:first-child,td:first-child{text-align:left}tr+tr td{border-top:1px solid var(--line)}td.wide{width:35%;min-width:110px}td.name{white-space:normal;overflow-wrap:anywhere;min-width:8rem}
.bar{display:block;height:.85rem;border-radius:3px;background:var(--bar)}.kept{background:var(--kept)}.drop{background:var(--drop)}.track{display:flex;background:var(--line);border-radius:3px;overflow:hidden}
.note{background:var(--card);border-left:4px solid var(--drop);padding:.3rem .8rem;overflow-wrap:anywhere}
.alarm td{background:var(--alarmbg)}.alarmtext{color:var(--alarm);font-weight:600}
.funnel{display:grid;grid-template-columns:minmax(7rem,auto) 1fr auto;gap:.3rem .7rem;align-items:center}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:1rem}.plot{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem}.histogram{position:relative;display:flex;align-items:flex-end;height:120px;gap:1px;border-bottom:1px solid var(--line)}.histogram>i{flex:1;background:var(--bar);min-height:0}.histogram>u{position:absolute;top:0;bottom:0;border-left:2px dashed var(--alarm)}.axis{display:flex;justify-content:space-between;color:var(--soft);font-size:.8rem}
@media(max-width:640px){td.wide,th.wide{display:none}.funnel{grid-template-columns:1fr auto;grid-auto-flow:dense}.funnel>.track{grid-column:1/-1}}
details{background:var(--card);border:1px solid var(--line);border-radius:8px;margin:.4rem 0;padding:.3rem .8rem}summary{cursor:pointer}article{border-top:1px solid var(--line);padding:.5rem 0}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;max-height:16rem;overflow:auto;font:13px/1.45 ui-monospace,monospace}
.beside{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:0 1.2rem}.beside section{min-width:0}h3{font-size:.95rem;margin:.6rem 0 .3rem}
)css";

using base::html_escaped;
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
    return fmt::format("<div class=card>{}<b>{}</b><span class=soft>{}</span></div>", name,
                       count(whole(counts["records"])), note);
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
std::string histogram(const std::string& title, const std::vector<std::uint64_t>& bins, double threshold,
                      const std::string& low, const std::string& high, const std::string& note) {
  const std::uint64_t most = std::max<std::uint64_t>(1, *std::max_element(bins.begin(), bins.end()));
  std::string html = "<div class=plot><b>" + title + "</b><div class=histogram>";
  for (std::uint64_t bin : bins)
    html += fmt::format("<i style=\"height:{:.1f}%\" title=\"{}\"></i>",
                        bin == 0 ? 0 : std::max(1.0, 100 * share(bin, most)), count(bin));
  if (threshold >= 0) html += fmt::format("<u style=\"left:{:.1f}%\"></u>", 100 * threshold);
  return html + "</div><div class=axis><span>" + low + "</span><span>" + note + "</span><span>" + high +
         "</span></div></div>";
}

std::string distributions(const json& report) {
  std::string html;
  for (const auto& [name, score] : report["scores"].items()) {
    const bool known = score["threshold"].is_number();
    html += histogram(html_escaped(name), score["counts"].get<std::vector<std::uint64_t>>(),
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
    html += histogram(html_escaped(name), bins, -1, "1", count((std::uint64_t{1} << bins.size()) - 1),
                      "finds in a document; each column doubles");
  }
  for (const char* which : {"read", "kept"}) {
    const std::vector<std::uint64_t> bins = powers(report["lengths"][which]);
    html += histogram(fmt::format("length of what was {}", which), bins, -1, "1 byte",
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
    html += histogram("copies of one text", bins, -1, "2-3", "4,096+",
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
  std::string html =
      "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport "
      "content=\"width=device-width,initial-scale=1\">"
      "<title>curate: what was kept and why</title><style>";
  html += kStyle;
  html += "</style><body>" + header(report) + funnel(report) + reasons(report) + sources(report) +
          distributions(report) + languages(report) + time_table(report) + samples(report) + "<p class=soft>" +
          text_of(report["program"]) + ". The numbers are in report.json.</p></body></html>\n";
  return html;
}

}  // namespace curate
