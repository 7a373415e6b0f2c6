# LibTorch = the PyPI wheel torch 2.11.0 (headers and libraries). find_package(Torch) of the CUDA wheel fails without a
# CUDA toolkit, so the imported target is described here: libtorch_cpu and libc10 only, so that a CPU run never loads CUDA.
# Sets HORNBOOK_TRAINING and the target `libtorch`.

set(HORNBOOK_TRAINING FALSE)
if(TRAINING STREQUAL "OFF")
  message(STATUS "TRAINING=OFF: finetune is not built")
  return()
endif()

set(_root "${LIBTORCH}")
if(NOT _root)
  hornbook_python_package(torch _root)
endif()
if(NOT EXISTS "${_root}/lib/libtorch_cpu.so")
  set(_advice "LibTorch was not found (looked for ${_root}/lib/libtorch_cpu.so). Install the wheel: scripts/install.sh, or pip install --no-deps torch==2.11.0 nvidia-cuda-runtime nvidia-cuda-cupti, or pass -DLIBTORCH=FOLDER.")
  if(TRAINING STREQUAL "ON")
    message(FATAL_ERROR "${_advice}")
  endif()
  message(WARNING "${_advice} The program finetune is NOT built; curate, tokenizer and lora are.")
  return()
endif()

set(HORNBOOK_TRAINING TRUE)
set(HORNBOOK_LIBTORCH_ROOT ${_root})
message(STATUS "LibTorch: ${_root}")
add_library(libtorch INTERFACE)
target_include_directories(libtorch SYSTEM INTERFACE ${_root}/include ${_root}/include/torch/csrc/api/include)
target_link_libraries(libtorch INTERFACE ${_root}/lib/libtorch_cpu.so ${_root}/lib/libc10.so)
target_link_options(libtorch INTERFACE -Wl,--allow-shlib-undefined)
# at::parallel_for is a template around OpenMP: without -fopenmp it runs on one thread. The runtime is the wheel's own.
file(GLOB _libgomp ${_root}/lib/libgomp*.so.1)
target_compile_options(libtorch INTERFACE -fopenmp)
target_link_libraries(libtorch INTERFACE ${_libgomp})

# Gives a program its run path: the wheel's folder in the build tree and, unless the libraries are bundled, when
# installed. libtorch_cpu needs libgomp, cudart and cupti; its own run path finds them beside it or in their wheels.
function(hornbook_libtorch_program target)
  if(NOT BUNDLE_LIBRARIES)
    set_target_properties(${target} PROPERTIES INSTALL_RPATH ${HORNBOOK_LIBTORCH_ROOT}/lib)
    return()
  endif()
  file(GLOB libraries ${HORNBOOK_LIBTORCH_ROOT}/lib/libtorch_cpu.so ${HORNBOOK_LIBTORCH_ROOT}/lib/libc10.so
       ${HORNBOOK_LIBTORCH_ROOT}/lib/libgomp*.so.1 ${HORNBOOK_LIBTORCH_ROOT}/../nvidia/*/lib/libcudart.so.*
       ${HORNBOOK_LIBTORCH_ROOT}/../nvidia/*/lib/libcupti.so.*)
  install(FILES ${libraries} DESTINATION lib/hornbook)
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/hornbook")
endfunction()
