#include "format/format.h"

#include <memory>

#include "base/check.h"
#include "format/outboxx_json.h"
#include "model/stream.h"

namespace outboxx {

std::unique_ptr<Format> make_format(const StreamConfig& stream, const FormatOptions& options) {
  std::unique_ptr<Format> format;
  switch (stream.format) {
    case FormatName::kOutboxxJson:
      format = std::make_unique<OutboxxJson>(stream, options);
  }
  CHECK(format != nullptr);
  return format;
}

}  // namespace outboxx
