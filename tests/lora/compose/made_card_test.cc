#include "lora/compose/made_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(MadeCard, NamesALicenceThatAllShare) {
  const TemporaryFolder temporary;
  const lora::ModelFiles base(HORNBOOK_SOURCE_DIR "/tests/golden/lora/model_merges/base");
  const auto copy = [&](const char* name, const char* licence) {
    const auto folder = temporary.path() / name;
    lora_tests::write_changed(base, folder, [](const std::string&, std::vector<float>&) {});
    base::write_file(folder / "README.md", std::string("---\nlicense: ") + licence + "\n---\n# A model\n");
    return folder.string();
  };
  const lora::ModelFiles one(copy("one", "mit")), two(copy("two", "mit")), three(copy("three", "apache-2.0"));
  const std::string same = lora::made_card("Merged model", "Two in one.", {&one, &two});
  EXPECT_THAT(same, StartsWith("---\nlicense: mit\nlibrary_name: transformers\n"));
  EXPECT_THAT(same, HasSubstr("# Merged model\n\nTwo in one.\n"));
  EXPECT_THAT(same, HasSubstr("- `one`: licence `mit`\n- `two`: licence `mit`\n"));
  const std::string others = lora::made_card("Merged model", "Three in one.", {&one, &three, &base});
  EXPECT_THAT(others, Not(HasSubstr("license:")));
  EXPECT_THAT(others, HasSubstr("- `three`: licence `apache-2.0`\n- `base`: its files name no licence\n"));
}

}  // namespace
