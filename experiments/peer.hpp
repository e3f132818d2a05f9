// Another program's version of a benchmark's loops (bench/peers), run beside ours: a Python process that
// works only in the windows it is given.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace slowsde {

/// A peer script under the Python that SLOWSDE_PYTHON names, or /usr/bin/python3, in serving mode. Where it
/// can not run, `absent()` says why and there are no forms.
class Peer {
 public:
  /// Starts `script` of the peers' folder (SLOWSDE_PEERS, or where slowsde is installed or built from) and
  /// waits until its forms are warm. `data`: folder of the workload's arrays, where it has any. `library`:
  /// what it needs, named where it can not run.
  Peer(const std::string& script, const std::string& data, int threads,
       const std::string& library = "PyTorch");
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// Why there are no forms; empty if there are.
  const std::string& absent() const { return absent_; }
  const std::string& version() const { return version_; }  ///< of the library, after its name
  /// What each form computed, in the order of the script.
  struct Form {
    std::string name;
    std::vector<double> check;
  };
  const std::vector<Form>& forms() const { return forms_; }
  bool has(const std::string& form) const;
  /// Forms that do not run here, with the reason.
  const std::map<std::string, std::string>& failed() const { return failed_; }

  /// Items per second of a form over one window. Throws std::runtime_error if the process has ended.
  double window(const std::string& form, double seconds);

 private:
  bool read_line(std::string& line);

  int socket_ = -1, process_ = -1;
  std::string absent_, version_, buffer_;
  std::vector<Form> forms_;
  std::map<std::string, std::string> failed_;
};

}  // namespace slowsde
