// Tensors of published models by name and shape, and their number of parameters, as transformers makes them
// (scripts/oracle/shapes.py).
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "lora/model/module_names.h"
#include "lora/model/spec.h"

namespace {

using nlohmann::json;

json golden(const std::string& name) {
  return json::parse(base::read_file(std::filesystem::path(HORNBOOK_SOURCE_DIR) / "tests/golden/lora" / name));
}

std::set<std::string> names() {
  const json configs = golden("configs.json");
  std::set<std::string> names;
  for (auto entry = configs.begin(); entry != configs.end(); ++entry) names.insert(entry.key());
  return names;
}

class Shapes : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Published, Shapes, testing::ValuesIn(names()), [](const auto& info) {
  std::string name;
  for (const char c : info.param) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

TEST_P(Shapes, AreTransformers) {
  static const json configs = golden("configs.json"), shapes = golden("shapes.json").at("models");
  const lora::ModelSpec spec =
      lora::spec_of(lora::config_from_json(configs.at(GetParam()).at("config").dump(), GetParam()));
  std::map<std::string, std::map<std::vector<std::int64_t>, int>> found;
  std::int64_t parameters = 0;
  for (const lora::TensorSpec& tensor : lora::tensors_of(spec)) {
    std::int64_t size = 1;
    for (const std::int64_t length : tensor.shape) size *= length;
    parameters += size;
    ++found[lora::block_name(tensor.name).pattern][tensor.shape];
  }
  json tensors = json::object();
  for (const auto& [name, of_name] : found) {
    json& list = tensors[name] = json::array();
    for (const auto& [shape, times] : of_name) list.push_back(json::array({json(shape), json(times)}));
  }
  const json& expected = shapes.at(GetParam());
  EXPECT_EQ(parameters, expected.at("parameters").get<std::int64_t>());
  EXPECT_EQ(tensors, expected.at("tensors"));
}

}  // namespace
