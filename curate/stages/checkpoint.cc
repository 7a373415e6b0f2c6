// Where a run stands: written beside the outputs now and then, read by --resume. Tested by tests/curate/run_test.cc and
// tests/cli/kill_resume_curate.py.
#include "curate/stages/checkpoint.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fault.h"
#include "base/json_values.h"
#include "base/unicode.h"

namespace curate {
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

json state_json(const ShardWriter::State& s) {
  return {s.shard, s.shard_bytes, s.file_bytes, s.records, s.bytes, s.compressed};
}
ShardWriter::State state_from(const json& j) {
  ShardWriter::State s;
  j.at(0).get_to(s.shard);
  j.at(1).get_to(s.shard_bytes);
  j.at(2).get_to(s.file_bytes);
  j.at(3).get_to(s.records);
  j.at(4).get_to(s.bytes);
  j.at(5).get_to(s.compressed);
  return s;
}

json files_json(const std::vector<InputFile>& files) {
  json list = json::array();
  for (const InputFile& file : files) list.push_back({file.path, file.size, file.modified});
  return list;
}
std::vector<InputFile> files_from(const json& list) {
  std::vector<InputFile> files;
  for (const json& file : list)
    files.push_back({file.at(0).get<std::string>(), file.at(1).get<std::uint64_t>(), file.at(2).get<std::int64_t>()});
  return files;
}

}  // namespace

std::vector<InputFile> look_at(const std::vector<std::string>& files) {
  std::vector<InputFile> inputs;
  for (const std::string& file : files) {
    InputFile input;
    // A checkpoint is JSON, which holds valid UTF-8 alone.
    input.path = file == "-" ? file : base::valid_utf8(fs::absolute(file).lexically_normal().string());
    if (file != "-" && fs::is_regular_file(file)) {
      input.size = fs::file_size(file);
      input.modified = fs::last_write_time(file).time_since_epoch().count();
    }
    inputs.push_back(std::move(input));
  }
  return inputs;
}

void write_checkpoint(const fs::path& path, const Checkpoint& c) {
  json j;
  j["options"] = c.options;
  j["inputs"] = files_json(c.inputs);
  j["step_files"] = files_json(c.step_files);
  j["fields"] = json::array();
  for (const FieldNames& names : c.fields) j["fields"].push_back({names.text, names.id, names.source, names.date});
  j["field_notes"] = c.field_notes;
  j["files"] = c.files.to_json();
  j["stage"] = c.stage;
  j["blocks"] = c.blocks;
  j["settled"] = c.settled;
  j["kept"] = state_json(c.kept);
  j["dropped"] = state_json(c.dropped);
  j["quarantined"] = state_json(c.quarantined);
  j["spill_bytes"] = c.spill_bytes;
  j["prints_bytes"] = c.prints_bytes;
  j["seconds"] = c.seconds;
  j["statistics"] = to_json(c.statistics);
  base::write_file(path, base::json_dump(j));
}

Checkpoint read_checkpoint(const fs::path& path) {
  Checkpoint c;
  const std::string text = base::read_file(path);
  const char* advice = "start again with --overwrite";
  const json j = json::parse(text, nullptr, false);
  if (!j.is_object()) throw base::no_json_object(text, path.string(), advice);
  try {
    j.at("options").get_to(c.options);
    c.inputs = files_from(j.at("inputs"));
    c.step_files = files_from(j.at("step_files"));
    for (const json& names : j.at("fields"))
      c.fields.push_back({names.at(0).get<std::string>(), names.at(1).get<std::string>(),
                          names.at(2).get<std::string>(), names.at(3).get<std::string>()});
    j.at("field_notes").get_to(c.field_notes);
    c.files = base::InputTally::from_json(j.at("files"));
    j.at("stage").get_to(c.stage);
    j.at("blocks").get_to(c.blocks);
    j.at("settled").get_to(c.settled);
    c.kept = state_from(j.at("kept"));
    c.dropped = state_from(j.at("dropped"));
    c.quarantined = state_from(j.at("quarantined"));
    j.at("spill_bytes").get_to(c.spill_bytes);
    j.at("prints_bytes").get_to(c.prints_bytes);
    j.at("seconds").get_to(c.seconds);
    c.statistics = statistics_from_json(j.at("statistics"));
  } catch (const std::exception&) {  // a member is missing or of another kind
    throw base::Error({"the checkpoint cannot be read", path.string(), "", "what a run writes there", advice});
  }
  return c;
}

}  // namespace curate
