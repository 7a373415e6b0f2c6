// Includes point one way: base < tokenizer < {curate, lora} < finetune. Only finetune includes Torch headers, only the
// module base/parquet_* includes Arrow's.
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::set<std::string>> kAllowed = {
    {"base", {}},
    {"tokenizer", {"base"}},
    {"curate", {"base", "tokenizer"}},
    {"lora", {"base", "tokenizer"}},
    {"finetune", {"base", "tokenizer", "lora", "torch", "ATen", "c10"}},
};

// What `text`, a file of `folder`, includes and must not: "curate/steps/step.h ...".
std::string wrong_includes(const std::string& folder, const std::string& text) {
  static const re2::RE2 kInclude(R"((?m)^[ \t]*#[ \t]*include[ \t]*["<](\w+)/([^">]*)[">])");
  static const std::set<std::string> kJudged = {"base",  "tokenizer", "curate", "lora",  "finetune", "tests",
                                                "torch", "ATen",      "c10",    "arrow", "parquet"};
  std::string wrong, target, file;
  for (re2::StringPiece rest(text); re2::RE2::FindAndConsume(&rest, kInclude, &target, &file);)
    if (kJudged.count(target) && target != folder && !kAllowed.at(folder).count(target))
      wrong += target + "/" + file + " ";
  return wrong;
}

TEST(Includes, PointOneWay) {
  int files = 0;
  for (const auto& [folder, allowed] : kAllowed) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(HORNBOOK_SOURCE_DIR) / folder)) {
      if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
      if (entry.path().filename().string().starts_with("parquet_")) continue;
      std::stringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      EXPECT_EQ(wrong_includes(folder, text.str()), "") << entry.path();
      ++files;
    }
  }
  EXPECT_GT(files, 30);
}

// The rooms of a folder, in the order in which they may include each other; those of one place do not. "" is the folder
// itself: the commands.
const std::map<std::string, std::vector<std::set<std::string>>> kRooms = {
    {"curate", {{"records", "text"}, {"scorer", "dedup"}, {"steps"}, {"train"}, {"stages"}, {"report"}, {""}}},
    {"lora", {{"model"}, {"adapter"}, {"compose", "fuse"}, {""}}},
    {"tokenizer", {{"spec"}, {"split"}, {"read"}, {"models", "jinja"}, {"chat"}, {"write"}, {""}}},
    {"finetune", {{"kernels"}, {"weights"}, {"adapt"}, {"model"}, {"data"}, {"train"}, {""}}},
};

std::string room_of(const fs::path& file) {  // within its folder: "model/families/llama.cc" is in "model"
  return file.has_parent_path() ? file.begin()->string() : "";
}

// What `text`, a file of `room`, includes of rooms that are not before it.
std::string wrong_rooms(const std::string& folder, const std::string& room, const std::string& text) {
  const re2::RE2 include("(?m)^#include \"" + folder + "/([^\"]*)\"");
  const auto rank = [&](const std::string& name) {
    const auto& rooms = kRooms.at(folder);
    return std::find_if(rooms.begin(), rooms.end(), [&](const auto& place) { return place.contains(name); }) -
           rooms.begin();
  };
  std::string wrong, file;
  for (re2::StringPiece rest(text); re2::RE2::FindAndConsume(&rest, include, &file);)
    if (const std::string other = room_of(file); other != room && rank(other) >= rank(room)) wrong += file + " ";
  return wrong;
}

TEST(Includes, RoomsPointOneWay) {
  for (const auto& [folder, rooms] : kRooms) {
    const fs::path root = fs::path(HORNBOOK_SOURCE_DIR) / folder;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const std::string extension = entry.path().extension().string(), room = room_of(fs::relative(entry.path(), root));
      if (extension != ".cc" && extension != ".h") continue;
      EXPECT_TRUE(std::any_of(rooms.begin(), rooms.end(), [&](const auto& place) { return place.contains(room); }))
          << entry.path() << ": a room without a place";
      std::stringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      EXPECT_EQ(wrong_rooms(folder, room, text.str()), "") << entry.path();
    }
  }
  EXPECT_EQ(wrong_rooms("lora", "model", "#include \"lora/locate.h\"\n#include \"lora/adapter/merge.h\"\n"),
            "locate.h adapter/merge.h ");
  EXPECT_EQ(wrong_rooms("lora", "model", "#include \"lora/model/spec.h\"\n"), "");
  EXPECT_EQ(wrong_rooms("curate", "text", "#include \"curate/records/record.h\"\n"), "records/record.h ");
  EXPECT_EQ(wrong_rooms("curate", "", "#include \"curate/stages/stage.h\"\n"), "");
}

TEST(Includes, AWrongDirectionIsSeen) {
  EXPECT_EQ(wrong_includes("base", "#include \"base/text.h\"\n#include <re2/re2.h>\n"), "");
  EXPECT_EQ(wrong_includes("curate", "// x\n#include \"finetune/model/model.h\"\n"), "finetune/model/model.h ");
  EXPECT_EQ(wrong_includes("finetune", "#include \"curate/steps/step.h\"\n"), "curate/steps/step.h ");
  EXPECT_EQ(wrong_includes("lora", "  # include <torch/torch.h>\n"), "torch/torch.h ");
  EXPECT_EQ(wrong_includes("tokenizer", "#include <ATen/ATen.h>\n#include <c10/core/Device.h>\n"),
            "ATen/ATen.h c10/core/Device.h ");
  EXPECT_EQ(wrong_includes("base", "#include <arrow/api.h>\n#include <parquet/properties.h>\n"),
            "arrow/api.h parquet/properties.h ");
}

}  // namespace
