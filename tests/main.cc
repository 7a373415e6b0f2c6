// Debian's libfasttext.so has a main() of its own, which would be found before gtest_main's.
#include <gmock/gmock.h>

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
