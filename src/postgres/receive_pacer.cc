#include "postgres/receive_pacer.h"

namespace outboxx {

bool ReceivePacer::raised(TimePoint now) {
  const auto elapsed = now - window_start_;
  if (elapsed >= kWindow) {
    raised_ = messages_ >= kMessagesPerMillisecond * elapsed / kWindow;
    window_start_ = now;
    messages_ = 0;
  }
  return raised_;
}

}  // namespace outboxx
