// Precompiled for every file of this folder and its tests: the ATen headers alone cost 6 s and 0.7 GB in each.
// Files still include what they use; with this header read first those includes cost nothing.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <map>
#include <memory>
#include <string>
#include <vector>
