// The program `finetune`. Tested by tests/cli/readme.py and signals_finetune.py.
#include <sys/auxv.h>
#include <unistd.h>

#include <string_view>
#include <vector>

#include "base/program.h"
#include "finetune/eval.h"
#include "finetune/kernels/device.h"
#include "finetune/kernels/library_errors.h"
#include "finetune/model/generate.h"
#include "finetune/train.h"
#include "finetune/verify.h"
#include "finetune/weigh.h"

namespace {

// A thread of OpenMP that waits for the others spins for milliseconds by default, which takes the processor away from
// them as soon as another program runs: two threads were then slower than one. The runtime reads this when it is
// loaded, so the program starts itself again with it, before any library has been initialised.
void choose_waiting(int, char** arguments, char** environment) {
  if (getauxval(AT_BASE) == 0) return;  // started by way of the loader, which /proc/self/exe would be
  std::vector<char*> all;
  for (char** entry = environment; *entry; ++entry) {
    const std::string_view text{*entry};
    if (text.starts_with("OMP_WAIT_POLICY=") || text.starts_with("GOMP_SPINCOUNT=")) return;
    all.push_back(*entry);
  }
  static char spin_count[] = "GOMP_SPINCOUNT=10000";
  all.insert(all.end(), {spin_count, nullptr});
  execve("/proc/self/exe", arguments, all.data());  // where that fails, all is as before
}
[[gnu::section(".preinit_array"), gnu::used]] void (*const kBeforeLibraries)(int, char**, char**) = choose_waiting;

}  // namespace

int main(int argc, char** argv) {
  base::Program program;
  program.name = "finetune";
  program.summary = "LoRA training of LLaMA-family models";
  program.commands = {finetune::train_command(), finetune::eval_command(),   finetune::generate_command(),
                      finetune::chat_command(),  finetune::verify_command(), finetune::weigh_command()};
  program.version_details = finetune::libtorch_details;
  program.explain = finetune::explain;
  return base::run_program(program, argc, argv);
}
