#include "slowsde/experiments/peer.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "slowsde/experiments/build_info.hpp"

namespace slowsde {
namespace {

namespace fs = std::filesystem;

std::string find_script(const std::string& name) {
  std::vector<std::string> folders = build_info().peer_folders;
  if (const char* named = std::getenv("SLOWSDE_PEERS")) folders = {named};
  for (const std::string& folder : folders) {
    std::error_code ignored;
    if (fs::is_regular_file(fs::path(folder) / name, ignored)) return folder + "/" + name;
  }
  return "";
}

}  // namespace

Peer::Peer(const std::string& name, const std::string& data, int threads, const std::string& library) {
  const char* named = std::getenv("SLOWSDE_PYTHON");
  std::string python = named ? named : "/usr/bin/python3", script = find_script(name);
  if (script.empty()) {
    absent_ = name + " is not installed";
    return;
  }
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    absent_ = "no socket for " + name;
    return;
  }
  socket_ = ends[0];
  std::string count = std::to_string(threads), data_folder = data;
  char data_flag[] = "--data", threads_flag[] = "--threads", serve_flag[] = "--serve";
  char* arguments[] = {python.data(), script.data(), data_flag,  data_folder.data(),
                       threads_flag,  count.data(),  serve_flag, nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  // What libraries say about themselves while they are loaded is no result.
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t process = -1;
  const int error = posix_spawn(&process, python.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error != 0) {
    absent_ = "no " + python;
    return;
  }
  process_ = process;
  absent_ = "no " + library + " in " + python;
  for (std::string line; read_line(line);) {
    std::istringstream words(line);
    std::string kind, first;
    words >> kind >> first;
    if (kind == "form") {
      Form form{first, {}};
      for (double value; words >> value;) form.check.push_back(value);
      forms_.push_back(std::move(form));
    } else if (kind == "failed") {
      std::getline(words >> std::ws, failed_[first]);
    } else if (kind == "ready") {
      version_ = line.substr(std::min(line.size(), std::string("ready ").size()));
      absent_ = forms_.empty() ? "no form of it runs" : "";
      return;
    }
  }
  forms_.clear();
}

Peer::~Peer() {
  if (socket_ >= 0) close(socket_);  // the end of its input ends the process
  if (process_ > 0) waitpid(process_, nullptr, 0);
}

bool Peer::read_line(std::string& line) {
  for (;;) {
    const std::size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return true;
    }
    char bytes[512];
    const ssize_t count = recv(socket_, bytes, sizeof bytes, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(count));
  }
}

bool Peer::has(const std::string& form) const {
  return std::any_of(forms_.begin(), forms_.end(), [&](const Form& f) { return f.name == form; });
}

double Peer::window(const std::string& form, double seconds) {
  const std::string request = form + " " + std::to_string(seconds) + "\n";
  std::string line;
  if (send(socket_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()) ||
      !read_line(line))
    throw std::runtime_error("the peer that runs " + form + " has ended");
  // Its threads go on spinning for a while; they must not run into the next window.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::istringstream words(line);
  double items = 0, spent = 0;
  if (!(words >> items >> spent) || !(spent > 0))
    throw std::runtime_error("the peer that runs " + form + " answered '" + line + "'");
  return items / spent;
}

}  // namespace slowsde
